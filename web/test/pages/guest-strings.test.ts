/**
 * Text that a guest or another user chose is shown as text.
 *
 * Each place is shown twice: with harmless marks, and with hostile texts where the marks were. Both
 * must be made of the very same elements and attributes, and hold the texts unchanged.
 */
import { type Component, flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type {
  Card,
  Desktop,
  GpuRequest,
  Image,
  Me,
  MisfitCount,
  Node,
  Offers,
  Protection,
  Recording,
  Reservation,
  Size,
  Station,
  User,
  WhatIfAnswer,
} from '../../src/api/client';
import { ApiError } from '../../src/api/client';
import App from '../../src/App.svelte';
import Desktops from '../../src/pages/Desktops.svelte';
import Hosts from '../../src/pages/admin/Hosts.svelte';
import Images from '../../src/pages/admin/Images.svelte';
import Placement from '../../src/pages/admin/Placement.svelte';
import Reservations from '../../src/pages/admin/Reservations.svelte';
import SetPassword from '../../src/pages/admin/SetPassword.svelte';
import Sizes from '../../src/pages/admin/Sizes.svelte';
import Stations from '../../src/pages/admin/Stations.svelte';
import Users from '../../src/pages/admin/Users.svelte';
import WhatIfResult from '../../src/pages/admin/WhatIfResult.svelte';
import { noGpu } from '../../src/pages/gpu';
import NewDesktop from '../../src/pages/NewDesktop.svelte';
import Recordings from '../../src/pages/Recordings.svelte';
import { router } from '../../src/router.svelte';
import { session } from '../../src/session.svelte';
import type { Parts, Stream } from '../../src/stream/browser';
import type { View } from '../../src/stream/session';
import { words } from '../../src/text/words.svelte';
import Failed from '../../src/ui/Failed.svelte';
import Viewer from '../../src/viewer/Viewer.svelte';
import { hostile } from './hostile';
import { parts } from './look';

const portal = vi.hoisted(() => ({ answers: new Map<string, unknown>() }));
const viewer = vi.hoisted(() => ({ started: null as Parts | null }));

vi.mock('../../src/api/client', async (original) => ({
  ...(await original<typeof import('../../src/api/client')>()),
  client: {
    GET: (path: string) =>
      Promise.resolve({ data: portal.answers.get(path), response: { ok: true } }),
  },
}));

vi.mock('../../src/stream/browser', () => ({
  startStream: (parts: Parts) => {
    viewer.started = parts;
    const stream: Partial<Stream> = { isOneToOne: true, stop: () => undefined };
    return Promise.resolve(stream);
  },
}));

class FakeEventSource extends EventTarget {
  static latest: FakeEventSource | null = null;
  readonly readyState = 1;
  onerror: (() => void) | null = null;

  constructor() {
    super();
    FakeEventSource.latest = this;
  }

  tell(desktops: Desktop[]): void {
    this.dispatchEvent(new MessageEvent('desktops', { data: JSON.stringify({ desktops }) }));
  }

  close(): void {
    this.onerror = null;
  }
}

const THEN = '2026-03-01T08:00:00Z';
const MARK = /~(\d+)~/g;
const marks = hostile.map((_, index) => `~${index}~`);

const me: Me = {
  id: 'm',
  name: 'ada',
  role: 'administrator',
  language: 'en',
  theme: 'system',
  provided: false,
};

/** Shows a page, does what there is to do with it, and says what it was made of. */
async function shown<P extends Record<string, unknown>>(
  page: Component<P>,
  props: P,
  act: (target: HTMLElement) => string[] = parts,
): Promise<string[]> {
  const target = document.createElement('div');
  document.body.append(target);
  const component = mount(page as Component, { target, props });
  flushSync();
  await vi.advanceTimersByTimeAsync(0);
  flushSync();
  const found = [...act(target), `title ${document.title}`];
  await unmount(component);
  target.remove();
  return found;
}

/** The first thing that differs: a list of all is no help. */
function difference(seen: readonly string[], expected: readonly string[]): string | null {
  const at = expected.findIndex((part, index) => part !== seen[index]);
  if (at >= 0) return `${seen[at] ?? 'nothing'} instead of ${expected[at] ?? 'nothing'}`;
  return seen.length === expected.length ? null : `${seen[expected.length] ?? ''} more`;
}

/** Shows the same with marks and with hostile texts. */
async function compare(show: (texts: readonly string[]) => Promise<string[]>): Promise<void> {
  const harmless = await show(marks);
  const told = new Set(harmless.flatMap((part) => part.match(MARK) ?? []));
  expect(told.size, 'every text is shown').toBe(marks.length);
  const expected = harmless.map((part) =>
    part.replace(MARK, (_, index: string) => hostile[Number(index)] ?? ''),
  );
  expect(difference(await show(hostile), expected)).toBeNull();
}

const sizeOf = (id: string, name: string): Size => ({
  id,
  name,
  vcpus: 2,
  memory_mib: 4096,
  disk_gib: 20,
  enabled: true,
});

const gpuOf = (text: string): GpuRequest => ({ ...noGpu(), count: 1, models: [text] });

/** The code is one that no table knows. */
const misfitsOf = (text: string) => [{ code: text as MisfitCount['code'], nodes: 2 }];

const waitingOf = (text: string): NonNullable<Desktop['waiting']> => ({
  place: 1,
  queue_length: 2,
  nodes: 2,
  misfits: misfitsOf(text),
  nearest: [{ id: 'n', name: text }],
  never: false,
});

function desktopOf(text: string, index: number): Desktop {
  const phase = (['failed', 'pending', 'ready'] as const)[index % 3] ?? 'ready';
  return {
    id: `desktop-${index}`,
    name: text,
    owner: { id: 'o', name: text },
    image: { id: 'i', name: text },
    size: sizeOf('s', text),
    node: text,
    goal: 'running',
    phase,
    phase_since: THEN,
    created: THEN,
    generation: 1,
    failure: { code: 'build_failed', detail: text },
    gpu: gpuOf(text),
    station: { id: 's', name: text },
    ends: THEN,
    ends_soon: true,
    card_gone: true,
    waiting: phase === 'pending' ? waitingOf(text) : null,
    may: {
      connect: true,
      start: false,
      stop: true,
      restart: true,
      retry: false,
      remove: true,
      extend: true,
      resize: true,
    },
  };
}

const link = { kind: 'open' } as const;
const viewOf = (text: string): View => ({
  link,
  exact: 'exact',
  desktopName: text,
  userName: text,
  size: { width: 128, height: 96 },
  refusedBeyond: null,
  layouts: ['us', text],
  notice: text,
  status: null,
  marked: [],
  region: null,
  recording: false,
  mayRecord: false,
  recordingTrouble: null,
  decodes: ['h264'],
  quality: 'automatic',
});

// Hundreds of cards take a while without a real browser.
describe('sec_xss guest_strings', { timeout: 120_000 }, () => {
  beforeAll(() => {
    expect(new Set(hostile).size).toBe(hostile.length);
    expect(hostile.length).toBeGreaterThanOrEqual(500);
  });

  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse(THEN) + 60_000 });
    vi.stubGlobal('EventSource', FakeEventSource);
    session.begun(me);
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    expect('__pwned' in window).toBe(false);
    document.title = '';
  });

  it('in the cards of desktops, their dialogs and their failures', async () => {
    await compare((texts) =>
      shown(Desktops, { all: true }, (target) => {
        FakeEventSource.latest?.tell(texts.map(desktopOf));
        flushSync();
        expect(target.querySelectorAll('article').length).toBe(texts.length);
        // The last action of each card is to delete it; the pencil renames it.
        for (const card of target.querySelectorAll('article')) {
          card.querySelector<HTMLButtonElement>('.pencil')?.click();
          [...card.querySelectorAll<HTMLButtonElement>('.others button')].at(-1)?.click();
        }
        flushSync();
        expect(target.querySelectorAll('dialog[open]').length).toBe(2 * texts.length);
        return parts(target);
      }),
    );
  });

  it('in the viewer’s title, notices and keyboard layouts', async () => {
    await compare((texts) =>
      shown(Viewer, { desktop: 'd' }, (target) => {
        return texts.flatMap((text) => {
          viewer.started?.listener.changed(viewOf(text));
          flushSync();
          const isNamed = document.head.textContent.includes(words.t.viewer.title(text));
          return [...parts(target), `in the title: ${String(isNamed)}`];
        });
      }),
    );
  });

  it('in the list of users, and where they get a password', async () => {
    const userOf = (name: string, index: number): User => ({
      id: `user-${index}`,
      name,
      role: 'user',
      disabled: false,
      created: THEN,
    });
    await compare((texts) => {
      portal.answers.set('/api/v1/users', { users: texts.map(userOf) });
      return shown(Users, { me });
    });
    await compare(async (texts) => {
      const all = texts.map((name, index) =>
        shown(SetPassword, { open: true, user: userOf(name, index) }),
      );
      return (await Promise.all(all)).flat();
    });
  });

  it('in the list of recordings', async () => {
    const recordingOf = (text: string, index: number): Recording => ({
      id: `recording-${index}`,
      desktop: { id: 'd', name: text },
      user: { id: 'u', name: text },
      started: THEN,
      duration_ms: 61_000,
      bytes: 5_000_000,
      end: text as NonNullable<Recording['end']>,
      required: false,
      may: { play: true, remove: true },
    });
    await compare((texts) => {
      const answer = { recordings: texts.map(recordingOf), policy: 'allowed' };
      portal.answers.set('/api/v1/recordings', answer);
      return shown(Recordings, {});
    });
  });

  it('in a person’s own name', async () => {
    await compare((texts) => {
      router.go('/account');
      return shown(App, {}, (target) => {
        return texts.flatMap((name) => {
          session.begun({ ...me, name });
          flushSync();
          return parts(target);
        });
      });
    });
  });

  it('in hosts and protections', async () => {
    const cardOf = (text: string): Card => ({
      address: text,
      pci_id: text,
      model: text,
      memory_mib: 1024,
      cores: 1,
      bandwidth_gb_s: 1,
      clock_mhz: 1,
      gflops: 1,
      partitioning: { kind: 'mig', profile: text, parent: text },
      state: 'assigned',
      owner: text,
      fault: text,
      holders: [{ desktop: 'd', name: text, owner: text, share_milli: 500 }],
      free_milli: 500,
    });
    const nodeOf = (name: string): Node => ({
      node: {
        name,
        vcpus: 8,
        vcpus_used: 2,
        memory_mib: 8192,
        memory_mib_used: 1024,
        disk_gib: 100,
        disk_gib_used: 20,
        cards: [],
        enabled: true,
      },
      state: 'quarantined',
      is_known: true,
      maintenance: false,
      quarantine: { code: name, detail: name },
      refused: { code: name, detail: name, at: THEN, count: 1 },
      stations: [name],
      cards: [cardOf(name), { ...cardOf(`${name} `), holders: [] }],
      record: {
        facts: {
          cpus: 1,
          cpu_model: name,
          cpu_busy_permille: 1,
          memory_mib: 1,
          memory_mib_used: 1,
          disk_gib: 1,
          disk_gib_used: 1,
          hints: [name],
        },
        sampled: THEN,
        received: THEN,
        age_s: 1,
        interval_s: 10,
        version: name,
        is_stale: false,
        clock_off_s: 0,
        is_clock_off: false,
      },
    });
    portal.answers.set('/api/v1/nodes/{id}/history', { slot_s: 300, samples: [] });
    const wallOf = (text: string): Protection => ({ code: text, detail: text, in_force: false });
    await compare((texts) => {
      const answer = { nodes: texts.map(nodeOf), protections: texts.map(wallOf) };
      portal.answers.set('/api/v1/nodes', answer);
      return shown(Hosts, {}, (target) => {
        for (const button of target.querySelectorAll<HTMLButtonElement>('.open')) button.click();
        flushSync();
        expect(target.querySelectorAll('[data-testid="card"]').length).toBe(2 * texts.length);
        return parts(target);
      });
    });
  });

  it('in stations and reservations, as a week and as a list', async () => {
    const stationOf = (text: string): Station => ({
      id: text,
      name: text,
      gpu: gpuOf(text),
      nodes: [text],
    });
    const reservationOf = (text: string, index: number): Reservation => ({
      id: `reservation-${index}`,
      station: text,
      size: text,
      count: 2,
      from: THEN,
      to: '2026-03-01T20:00:00Z',
      note: text,
      created_by: 'm',
    });
    portal.answers.set('/api/v1/nodes', { nodes: [], protections: [] });
    await compare((texts) => {
      portal.answers.set('/api/v1/stations', { stations: texts.map(stationOf) });
      return shown(Stations, {});
    });
    for (const view of [0, 1]) {
      await compare((texts) => {
        portal.answers.set('/api/v1/stations', { stations: texts.map(stationOf) });
        portal.answers.set('/api/v1/sizes', { sizes: texts.map((text) => sizeOf(text, text)) });
        portal.answers.set('/api/v1/reservations', { reservations: texts.map(reservationOf) });
        return shown(Reservations, {}, (target) => {
          target.querySelectorAll<HTMLInputElement>('.view input')[view]?.click();
          flushSync();
          return parts(target);
        });
      });
    }
  });

  it('in policies of another portal, and in what they would do', async () => {
    const settings = {
      policy: 'fit',
      cpu_weight: 0.5,
      memory_weight: 0.5,
      guard: null,
      gpu_additions: true,
    };
    await compare((texts) => {
      const policies = texts.map((text) => ({ name: text, text }));
      portal.answers.set('/api/v1/placement', { settings, policies, default_policy: 'fit' });
      return shown(Placement, {});
    });
    await compare((texts) => {
      const answer: WhatIfAnswer = {
        results: texts.map((text) => ({
          policy: text,
          measures: [{ name: texts[0] ?? '', mean: 1, sd: 0 }],
          curve: [
            { load: 1, allocated: 1, frag: 0, refused: 0 },
            { load: 2, allocated: 2, frag: 0, refused: 0 },
          ],
        })),
        nodes: 1,
        cards: 1,
        seeds: 1,
        seconds: 1,
        is_whole: true,
      };
      return shown(WhatIfResult, { answer });
    });
  });

  it('in images and sizes, where they are managed and where they are chosen', async () => {
    const imageOf = (text: string): Image => ({
      id: text,
      name: text,
      description: text,
      enabled: true,
    });
    await compare((texts) => {
      portal.answers.set('/api/v1/images', { images: texts.map(imageOf) });
      return shown(Images, {});
    });
    await compare((texts) => {
      portal.answers.set('/api/v1/sizes', { sizes: texts.map((text) => sizeOf(text, text)) });
      return shown(Sizes, {});
    });
    await compare((texts) => {
      const offers: Offers = {
        images: texts.map(imageOf),
        sizes: texts.map((text) => ({
          size: sizeOf(text, text),
          fits_now: false,
          nodes: 1,
          misfits: misfitsOf(text),
        })),
        cards: texts.map((text) => ({
          model: text,
          memory_mib: 1024,
          cores: 1,
          bandwidth_gb_s: 1,
          free: 0,
          total: 1,
          is_shared: false,
        })),
        stations: texts.map((text) => ({ id: text, name: text })),
        gpu_additions: true,
        free: { vcpus: 1, memory_mib: 1, disk_gib: 1, gpus: 0 },
        quota: { desktops: 0, desktops_max: 3 },
        protections: [],
      };
      portal.answers.set('/api/v1/offers', offers);
      return shown(NewDesktop, {});
    });
  });

  it('in what is said of a failed request', async () => {
    await compare(async (texts) => {
      const all = texts.map((text) => shown(Failed, { error: new ApiError(text, text) }));
      return (await Promise.all(all)).flat();
    });
  });
});
