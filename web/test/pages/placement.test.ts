/** Pages about placement: why a desktop waits, how long it runs, hosts, reservations, what-if. */
import { type Component, flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Card, Desktop, Me, Node, Size } from '../../src/api/client';
import Hosts from '../../src/pages/admin/Hosts.svelte';
import Placement from '../../src/pages/admin/Placement.svelte';
import Reservations from '../../src/pages/admin/Reservations.svelte';
import Stations from '../../src/pages/admin/Stations.svelte';
import DesktopCard from '../../src/pages/DesktopCard.svelte';
import { gpuText, noGpu } from '../../src/pages/gpu';
import NewDesktop from '../../src/pages/NewDesktop.svelte';
import { session } from '../../src/session.svelte';
import { en } from '../../src/text/en';
import { words } from '../../src/text/words.svelte';

const portal = vi.hoisted(() => ({
  answers: new Map<string, unknown>(),
  /** Answers that are no success: status and body. */
  refusals: new Map<string, unknown>(),
  asked: [] as { line: string; body: unknown; path: unknown }[],
}));

vi.mock('../../src/api/client', async (original) => {
  interface Options {
    body?: unknown;
    params?: { path?: unknown };
  }
  const ask = (method: string) => (path: string, options?: Options) => {
    const line = `${method} ${path}`;
    portal.asked.push({ line, body: options?.body, path: options?.params?.path });
    if (portal.refusals.has(line)) {
      return Promise.resolve({
        error: portal.refusals.get(line),
        response: { ok: false, status: 409 },
      });
    }
    return Promise.resolve({ data: portal.answers.get(line) ?? {}, response: { ok: true } });
  };
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
  return {
    ...(await original<typeof import('../../src/api/client')>()),
    client: Object.fromEntries(methods.map((method) => [method, ask(method)])),
  };
});

const NOW = '2026-03-04T10:00:00Z';
const later = (minutes: number) => new Date(Date.parse(NOW) + minutes * 60_000).toISOString();
const me: Me = {
  id: 'm',
  name: 'ada',
  role: 'administrator',
  language: 'en',
  theme: 'system',
  provided: false,
};

const size: Size = {
  id: 'one-card',
  name: 'One card',
  vcpus: 4,
  memory_mib: 16_384,
  disk_gib: 50,
  gpu: { ...noGpu(), count: 1, memory_mib: 49_140 },
  term_hours: 8,
  enabled: true,
};

function desktop(changes: Partial<Desktop> = {}): Desktop {
  return {
    id: 'd1',
    name: 'Sample',
    owner: { id: 'm', name: 'ada' },
    image: { id: 'i', name: 'Debian' },
    size,
    gpu: { ...noGpu(), count: 1, memory_mib: 49_140 },
    goal: 'running',
    phase: 'ready',
    phase_since: NOW,
    created: NOW,
    generation: 1,
    ends_soon: false,
    card_gone: false,
    may: {
      connect: true,
      start: false,
      stop: true,
      restart: true,
      retry: false,
      remove: true,
      extend: true,
      resize: false,
    },
    ...changes,
  };
}

const waiting = (changes: Partial<NonNullable<Desktop['waiting']>> = {}) =>
  desktop({
    phase: 'pending',
    may: { ...desktop().may, connect: false, extend: false, resize: true },
    waiting: {
      place: 2,
      queue_length: 3,
      estimate: later(150),
      nodes: 5,
      misfits: [
        { code: 'gpus', nodes: 1 },
        { code: 'gpu_memory', nodes: 3 },
        { code: 'maintenance', nodes: 1 },
      ],
      nearest: [{ id: 'half', name: 'Half a card' }],
      never: false,
      ...changes,
    },
  });

const card = (changes: Partial<Card> = {}): Card => ({
  address: '0000:41:00.0',
  pci_id: '10de:2230',
  model: 'RTX A6000',
  memory_mib: 49_140,
  cores: 10_752,
  bandwidth_gb_s: 768,
  clock_mhz: 1800,
  gflops: 38_700,
  state: 'free',
  holders: [],
  free_milli: 1000,
  ...changes,
});

const node = (name: string, changes: Partial<Node> = {}): Node => ({
  node: {
    name,
    vcpus: 64,
    vcpus_used: 8,
    memory_mib: 262_144,
    memory_mib_used: 1024,
    disk_gib: 1000,
    disk_gib_used: 10,
    cards: [],
    enabled: true,
  },
  state: 'open',
  is_known: true,
  maintenance: false,
  stations: [],
  cards: [],
  ...changes,
});

let shown: { component: ReturnType<typeof mount>; target: HTMLElement } | null = null;

async function show<P extends Record<string, unknown>>(
  page: Component<P>,
  props: P,
): Promise<HTMLElement> {
  const target = document.createElement('div');
  document.body.append(target);
  shown = { component: mount(page as Component, { target, props }), target };
  await settle();
  return target;
}

async function settle(ms = 0): Promise<void> {
  for (let i = 0; i < 5; i++) {
    flushSync();
    await vi.advanceTimersByTimeAsync(i === 0 ? ms : 0);
  }
  flushSync();
}

const button = (target: Element, text: string): HTMLButtonElement => {
  const found = [...target.querySelectorAll('button')].find((one) =>
    one.textContent.trim().startsWith(text),
  );
  if (!found) throw new Error(`no button ${text}`);
  return found;
};

function fill(target: Element, selector: string, value: string): void {
  const field = target.querySelector<HTMLInputElement | HTMLSelectElement>(selector);
  if (!field) throw new Error(`no field ${selector}`);
  field.value = value;
  if (field instanceof HTMLSelectElement) {
    // Svelte asks for the option that is `:checked`; this DOM knows that of boxes only.
    const option = [...field.options].find((one) => one.value === value) ?? null;
    vi.spyOn(field, 'querySelector').mockReturnValue(option);
  }
  const type = field instanceof HTMLSelectElement ? 'change' : 'input';
  field.dispatchEvent(new Event(type, { bubbles: true }));
}

const submit = (target: Element, selector: string) =>
  target
    .querySelector(selector)
    ?.dispatchEvent(new SubmitEvent('submit', { cancelable: true, bubbles: true }));

const asked = (line: string) => portal.asked.filter((one) => one.line === line);

describe('placement', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse(NOW) });
    portal.asked = [];
    portal.answers.clear();
    portal.refusals.clear();
    session.begun(me);
    words.use('en');
  });

  afterEach(async () => {
    if (shown) await unmount(shown.component);
    shown?.target.remove();
    shown = null;
    words.use('en');
    vi.useRealTimers();
  });

  describe('a desktop that waits', () => {
    it('says its place, its start, and each reason with what was asked for', async () => {
      const target = await show(DesktopCard, { desktop: waiting(), showsOwner: false });
      const text = target.querySelector('[data-testid="waiting"]')?.textContent ?? '';
      expect(text).toContain('Place 2 of 3 in the queue');
      expect(text).toContain('in 2 h');
      expect(text).toContain('3 hosts have no free graphics card with 48 GiB');
      expect(text).toContain('1 host has no free graphics card');
      expect(text).toContain('1 host is being maintained');
      // What keeps most hosts away comes first.
      const first = target.querySelector('[data-testid="waiting"] li')?.textContent;
      expect(first).toContain('3 hosts');
    });

    it('says the same in Chinese', async () => {
      words.use('zh');
      const target = await show(DesktopCard, { desktop: waiting(), showsOwner: false });
      expect(target.textContent).toContain('排队第 2 位，共 3 个');
      expect(target.textContent).toContain('3 台主机没有显存 48 GiB 的空闲显卡');
    });

    it('takes another size that would start now, by one button', async () => {
      const target = await show(DesktopCard, { desktop: waiting(), showsOwner: false });
      button(target, 'Take Half a card instead').click();
      await settle();
      const [change] = asked('PATCH /api/v1/desktops/{id}');
      expect(change).toMatchObject({ body: { size: 'half' }, path: { id: 'd1' } });
    });

    it('says when no host could ever take it, and nothing of a place', async () => {
      const never = waiting({ never: true, nearest: [] });
      const target = await show(DesktopCard, { desktop: never, showsOwner: false });
      expect(target.textContent).toContain(en.desktops.waiting.never);
      expect(target.textContent).not.toContain('in the queue');
    });

    it.each([
      ['earlier', en.desktops.waiting.heldEarlier],
      ['reservation', en.desktops.waiting.heldReservation],
    ] as const)('says that there is room, but held: %s', async (held, text) => {
      const target = await show(DesktopCard, { desktop: waiting({ held }), showsOwner: false });
      expect(target.textContent).toContain(text);
    });

    it('promises no start that nobody can foresee', async () => {
      const endless = waiting({ estimate: null });
      const target = await show(DesktopCard, { desktop: endless, showsOwner: false });
      expect(target.textContent).toContain(en.desktops.waiting.unknown);
    });
  });

  describe('the term of a desktop', () => {
    it('is shown, warned of when near, and extended', async () => {
      const near = desktop({ ends: later(12), ends_soon: true });
      portal.answers.set('POST /api/v1/desktops/{id}/extend', desktop({ ends: later(480) }));
      const target = await show(DesktopCard, { desktop: near, showsOwner: false });
      expect(target.querySelector('[role="alert"]')?.textContent).toContain('12 min');
      button(target, en.desktops.term.extend).click();
      await settle();
      // As long as its size runs, unless another number is chosen.
      expect(target.querySelector<HTMLInputElement>('input[type="number"]')?.value).toBe('8');
      submit(target, 'dialog form');
      await settle();
      expect(asked('POST /api/v1/desktops/{id}/extend')[0]?.body).toEqual({ hours: 8 });
      expect(target.querySelector('.term')?.textContent).toContain('It now runs until');
    });

    it('says when the calendar allows less than was asked for', async () => {
      portal.answers.set('POST /api/v1/desktops/{id}/extend', desktop({ ends: later(60) }));
      const target = await show(DesktopCard, {
        desktop: desktop({ ends: later(30) }),
        showsOwner: false,
      });
      expect(target.querySelector('[role="alert"]')).toBeNull();
      button(target, en.desktops.term.extend).click();
      await settle();
      submit(target, 'dialog form');
      await settle();
      expect(target.querySelector('.cut')?.textContent).toContain('Only until');
    });

    it('stays open with the reason when it cannot be extended', async () => {
      portal.refusals.set('POST /api/v1/desktops/{id}/extend', {
        error: { code: 'cannot_extend', message: 'not so long', request_id: 'r' },
      });
      const target = await show(DesktopCard, {
        desktop: desktop({ ends: later(30) }),
        showsOwner: false,
      });
      button(target, en.desktops.term.extend).click();
      await settle();
      submit(target, 'dialog form');
      await settle();
      const text = target.querySelector('dialog')?.textContent;
      expect(text).toContain(en.errors.codes.cannot_extend);
    });
  });

  describe('a new desktop', () => {
    const offers = {
      images: [{ id: 'i', name: 'Debian', description: '', enabled: true }],
      sizes: [
        { size, fits_now: true, nodes: 2, misfits: [] },
        {
          size: { ...size, id: 'half', name: 'Half a card' },
          fits_now: true,
          nodes: 2,
          misfits: [],
        },
      ],
      free: { vcpus: 8, memory_mib: 8192, disk_gib: 100, gpus: 2 },
      cards: [
        { ...card(), free: 1, total: 2, is_shared: false },
        { ...card(), model: 'A40', memory_mib: 46_068, free: 1, total: 1, is_shared: true },
      ],
      stations: [{ id: 'b2', name: 'B2' }],
      gpu_additions: true,
      quota: { desktops: 0, desktops_max: 3 },
      protections: [],
    };
    const check = { gpu: size.gpu, fits_now: true, nodes: 2, waiting: null };

    beforeEach(() => {
      portal.answers.set('GET /api/v1/offers', offers);
      portal.answers.set('POST /api/v1/offers/check', check);
    });

    it('says what one gets, and asks only when something else is chosen or time has passed', async () => {
      const target = await show(NewDesktop, {});
      await settle(400);
      expect(target.querySelector('[data-testid="offer-check"]')?.textContent).toContain(
        en.create.fitsNow,
      );
      expect(asked('POST /api/v1/offers/check')).toHaveLength(1);
      await settle(2000);
      expect(asked('POST /api/v1/offers/check')).toHaveLength(1);
      await settle(5000);
      expect(asked('POST /api/v1/offers/check')).toHaveLength(2);
    });

    it('adds cards, a model and a station to the request', async () => {
      const target = await show(NewDesktop, {});
      fill(target, '#gpu-count', '1');
      await settle();
      fill(target, '#gpu-share', '500');
      fill(target, '#gpu-memory', '49140');
      target.querySelector<HTMLInputElement>('input[value="A40"]')?.click();
      fill(target, '#station', 'b2');
      await settle(400);
      submit(target, 'form');
      await settle();
      expect(asked('POST /api/v1/desktops')[0]?.body).toEqual({
        name: 'Desktop 1',
        image: 'i',
        size: 'one-card',
        station: 'b2',
        gpu: {
          count: 1,
          memory_mib: 49_140,
          cores: 0,
          bandwidth_gb_s: 0,
          models: ['A40'],
          share_milli: 500,
        },
      });
      // What was judged is what is asked for.
      const judged = asked('POST /api/v1/offers/check').at(-1)?.body;
      expect(asked('POST /api/v1/desktops')[0]?.body).toEqual({
        name: 'Desktop 1',
        ...(judged as object),
      });
    });

    it('asks a share of one card only', async () => {
      const target = await show(NewDesktop, {});
      fill(target, '#gpu-count', '1');
      await settle();
      fill(target, '#gpu-share', '250');
      fill(target, '#gpu-count', '2');
      await settle(400);
      const judged = asked('POST /api/v1/offers/check').at(-1)?.body;
      expect(judged).toMatchObject({ gpu: { count: 2, share_milli: 1000 } });
      expect(target.querySelector('#gpu-share')).toBeNull();
    });

    it('offers no additions where policy allows none', async () => {
      portal.answers.set('GET /api/v1/offers', { ...offers, gpu_additions: false });
      const target = await show(NewDesktop, {});
      expect(target.querySelector('#gpu-count')).toBeNull();
    });

    it('explains a wait, and chooses the nearest size by one button', async () => {
      const plan = waiting({ nearest: [{ id: 'half', name: 'Half a card' }] }).waiting;
      portal.answers.set('POST /api/v1/offers/check', { ...check, fits_now: false, waiting: plan });
      const target = await show(NewDesktop, {});
      await settle(400);
      expect(target.textContent).toContain('at place 2 of 3');
      expect(target.textContent).toContain('3 hosts have no free graphics card with 48 GiB');
      button(target, 'Take Half a card instead').click();
      await settle(400);
      expect(asked('POST /api/v1/offers/check').at(-1)?.body).toMatchObject({ size: 'half' });
    });

    it('names the key of a demand that cannot be', async () => {
      portal.refusals.set('POST /api/v1/offers/check', {
        error: {
          code: 'invalid_gpu',
          message: 'heps:gpu_model: no model satisfies all',
          request_id: '',
        },
      });
      const target = await show(NewDesktop, {});
      await settle(400);
      const text = target.querySelector('[data-testid="offer-check"]')?.textContent;
      expect(text).toContain(en.errors.keys['heps:gpu_model']);
    });
  });

  describe('hosts', () => {
    it('show each card with its state and holder, and what is free of all', async () => {
      const holders = [{ desktop: 'd', name: 'Sample', owner: 'ada', share_milli: 500 }];
      const cards = [
        card(),
        card({ address: 'b', holders, free_milli: 500, busy_percent: 40 }),
        card({ address: 'c', state: 'assigned', owner: 'python3' }),
        card({ address: 'd', state: 'faulty', fault: 'fell off the bus' }),
        card({ address: 'e', state: 'reserved' }),
      ];
      portal.answers.set('GET /api/v1/nodes', { nodes: [node('n1', { cards })], protections: [] });
      const target = await show(Hosts, {});
      // Of so few hosts all is seen at once.
      const rows = [...target.querySelectorAll<HTMLElement>('[data-testid="card"]')];
      expect(rows.map((row) => row.dataset.standing)).toEqual([
        'free',
        'partly',
        'assigned',
        'faulty',
        'reserved',
      ]);
      expect(rows[1]?.textContent).toContain('Sample, ada');
      expect(rows[1]?.textContent).toContain('50%');
      expect(rows[2]?.textContent).toContain('python3');
      expect(rows[3]?.textContent).toContain('fell off the bus');
      // Three can be had, one of them is wholly free.
      expect(target.querySelector('[data-testid="host"]')?.textContent).toContain('1 of 3 free');
      expect(target.textContent).toContain('1 host in trouble');
    });

    it('say why one is not believed, and believe it again only when told so', async () => {
      const bad = node('n1', {
        state: 'quarantined',
        quarantine: { code: 'machine', detail: 'another machine id' },
      });
      portal.answers.set('GET /api/v1/nodes', { nodes: [bad], protections: [] });
      const target = await show(Hosts, {});
      target.querySelector<HTMLButtonElement>('.open')?.click();
      await settle();
      expect(target.textContent).toContain(en.hosts.quarantines.machine);
      expect(target.textContent).toContain('another machine id');
      button(target, en.hosts.lift).click();
      await settle();
      expect(asked('DELETE /api/v1/nodes/{id}/quarantine')).toHaveLength(0);
      const dialog = target.querySelector('dialog[open]');
      if (!dialog) throw new Error('nobody was asked');
      button(dialog, en.hosts.lift).click();
      await settle();
      expect(asked('DELETE /api/v1/nodes/{id}/quarantine')[0]?.path).toEqual({ id: 'n1' });
    });

    it('begin and end maintenance', async () => {
      const nodes = [node('n1'), node('n2', { state: 'maintenance', maintenance: true })];
      portal.answers.set('GET /api/v1/nodes', { nodes, protections: [] });
      const target = await show(Hosts, {});
      for (const one of target.querySelectorAll<HTMLButtonElement>('.open')) one.click();
      await settle();
      button(target, en.hosts.unmaintain).click();
      await settle();
      expect(asked('PUT /api/v1/nodes/{id}/maintenance')[0]).toMatchObject({
        path: { id: 'n2' },
        body: { maintenance: false },
      });
    });

    it('tell their last day in words too', async () => {
      const record = {
        facts: {
          cpus: 64,
          cpu_model: 'EPYC',
          cpu_busy_permille: 100,
          memory_mib: 1024,
          memory_mib_used: 1,
          disk_gib: 1,
          disk_gib_used: 1,
        },
        sampled: NOW,
        received: NOW,
        age_s: 4,
        interval_s: 10,
        version: '0.1',
        is_stale: false,
        clock_off_s: 0,
        is_clock_off: false,
      };
      const sample = (minutes: number, busy: number, held: number) => ({
        at: later(minutes),
        cpu_busy_permille: busy,
        memory_mib: 1000,
        memory_mib_used: 250,
        disk_gib: 1,
        disk_gib_used: 1,
        cards_total: 2,
        cards_held: held,
        cards: [],
      });
      const samples = [sample(-20, 100, 0), sample(-15, 900, 2), sample(-10, 300, 1)];
      portal.answers.set('GET /api/v1/nodes/{id}/history', { slot_s: 300, samples });
      portal.answers.set('GET /api/v1/nodes', {
        nodes: [node('n1', { cards: [card()], record })],
        protections: [],
      });
      const target = await show(Hosts, {});
      await settle();
      const said = [...target.querySelectorAll('figure svg')].map((one) =>
        one.getAttribute('aria-label'),
      );
      expect(said).toEqual([
        en.hosts.chart(en.hosts.charts.cpu, '30%', '10%', '90%'),
        en.hosts.chart(en.hosts.charts.memory, '25%', '25%', '25%'),
        en.hosts.chart(en.hosts.charts.held, '1', '0', '2'),
      ]);
    });

    it('show a monitor’s secret once, apart from the command', async () => {
      portal.answers.set('GET /api/v1/nodes', { nodes: [], protections: [] });
      const made = { secret: 'aa.bb', command: 'beamdesk monitor', expires: later(60), uses: 2 };
      portal.answers.set('POST /api/v1/nodes/enrolments', made);
      const target = await show(Hosts, {});
      button(target, en.hosts.enrol).click();
      await settle();
      fill(target, '#enrol-uses', '2');
      submit(target, '#enrol');
      await settle();
      expect(asked('POST /api/v1/nodes/enrolments')[0]?.body).toEqual({ uses: 2 });
      expect(target.querySelector('[data-testid="enrol-secret"]')?.textContent).toBe('aa.bb');
      target.querySelector('dialog')?.dispatchEvent(new Event('close'));
      await settle();
      expect(target.textContent).not.toContain('aa.bb');
    });

    it('give operators no buttons that are not theirs', async () => {
      session.begun({ ...me, role: 'operator' });
      portal.answers.set('GET /api/v1/nodes', { nodes: [node('n1')], protections: [] });
      const target = await show(Hosts, {});
      target.querySelector<HTMLButtonElement>('.open')?.click();
      await settle();
      expect(target.textContent).not.toContain(en.hosts.maintain);
      expect(target.textContent).not.toContain(en.hosts.enrol);
    });
  });

  describe('stations and reservations', () => {
    const stations = [{ id: 'b2', name: 'B2', gpu: noGpu(), nodes: ['away'] }];
    const held = {
      id: 'r1',
      station: 'b2',
      size: 'one-card',
      count: 2,
      from: later(60),
      to: later(600),
      note: 'Proposal 7',
      created_by: 'm',
    };

    beforeEach(() => {
      portal.answers.set('GET /api/v1/stations', { stations });
      portal.answers.set('GET /api/v1/sizes', { sizes: [size] });
      portal.answers.set('GET /api/v1/reservations', { reservations: [held] });
      portal.answers.set('GET /api/v1/nodes', { nodes: [node('n1')], protections: [] });
    });

    it('a station keeps a host that is away', async () => {
      const target = await show(Stations, {});
      button(target, words.t.edit).click();
      await settle();
      fill(target, '#station-gpu-models', 'A40 | RTX A6000 | A40');
      target
        .querySelector('#station-gpu-models')
        ?.dispatchEvent(new Event('change', { bubbles: true }));
      submit(target, '#station');
      await settle();
      expect(asked('PUT /api/v1/stations/{id}')[0]?.body).toMatchObject({
        nodes: ['away'],
        gpu: { models: ['A40', 'RTX A6000'] },
      });
    });

    it('a reservation lies in its week and in the list, and can be removed', async () => {
      const target = await show(Reservations, {});
      const bar = target.querySelector<HTMLButtonElement>('[data-testid="bar"]');
      expect(bar?.textContent).toContain('2 × One card');
      expect(bar?.textContent).toContain('Proposal 7');
      button(target, en.reservations.next).click();
      await settle();
      expect(target.querySelector('[data-testid="bar"]')).toBeNull();
      expect(target.textContent).toContain(en.reservations.emptyWeek);
      target.querySelectorAll<HTMLInputElement>('.view input')[1]?.click();
      await settle();
      expect(target.querySelector('[data-testid="reservation"]')?.textContent).toContain('B2');
      button(target, words.t.remove).click();
      await settle();
      const dialog = target.querySelector('dialog[open]');
      if (!dialog) throw new Error('nobody was asked');
      button(dialog, words.t.remove).click();
      await settle();
      expect(asked('DELETE /api/v1/reservations/{id}')[0]?.path).toEqual({ id: 'r1' });
    });

    it('a day of a station begins a new one there, and an impossible one says why', async () => {
      portal.refusals.set('POST /api/v1/reservations', {
        error: {
          code: 'cannot_be_held',
          message: 'no host has two cards',
          request_id: '',
          misfits: [{ code: 'gpus', nodes: 4 }],
        },
      });
      const target = await show(Reservations, {});
      target.querySelectorAll<HTMLButtonElement>('.add')[6]?.click();
      await settle();
      const from = target.querySelector<HTMLInputElement>('#reservation-from')?.value ?? '';
      expect(from).toContain('2026-03-08T08:00');
      submit(target, '#reservation');
      await settle();
      expect(asked('POST /api/v1/reservations')[0]?.body).toMatchObject({
        station: 'b2',
        size: 'one-card',
        count: 1,
      });
      const text = target.querySelector('dialog')?.textContent;
      expect(text).toContain(en.errors.codes.cannot_be_held);
      expect(text).toContain('no host has two cards');
      expect(text).toContain('4 hosts have no free graphics card');
    });

    it('an end before the beginning is not even sent', async () => {
      const target = await show(Reservations, {});
      button(target, en.reservations.create).click();
      await settle();
      fill(target, '#reservation-to', '2026-03-01T08:00');
      await settle();
      expect(target.textContent).toContain(en.reservations.ended);
      submit(target, '#reservation');
      await settle();
      expect(asked('POST /api/v1/reservations')).toHaveLength(0);
    });

    it('without a station there is a way to make one', async () => {
      portal.answers.set('GET /api/v1/stations', { stations: [] });
      const target = await show(Reservations, {});
      expect(target.textContent).toContain(en.reservations.noStations);
      expect(target.querySelector('main a[href="/stations"]')).not.toBeNull();
    });
  });

  describe('settings and what-if', () => {
    const settings = {
      policy: 'fit',
      cpu_weight: 0.5,
      memory_weight: 0.5,
      guard: { vcpus_per_card: 4, memory_mib_per_card: 16_384 },
      gpu_additions: true,
    };
    const policies = ['best_fit', 'fit', 'fgd_bf', 'newest'].map((name) => ({
      name,
      text: `about ${name}`,
    }));
    const view = { settings, policies, default_policy: 'fgd_bf' };

    beforeEach(() => {
      portal.answers.set('GET /api/v1/placement', view);
      portal.answers.set('PUT /api/v1/placement', view);
    });

    it('a policy is chosen with its explanation, and the guard is taken away', async () => {
      const target = await show(Placement, {});
      expect(target.textContent).toContain(en.placement.policies.fgd_bf);
      // One that these pages do not know is explained by the portal.
      expect(target.textContent).toContain('about newest');
      target.querySelector<HTMLInputElement>('input[type="radio"][value="fgd_bf"]')?.click();
      const guard = target.querySelector<HTMLInputElement>('[aria-describedby="placement-guard"]');
      guard?.click();
      await settle();
      submit(target, 'form');
      await settle();
      expect(asked('PUT /api/v1/placement')[0]?.body).toEqual({
        ...settings,
        policy: 'fgd_bf',
        guard: null,
      });
      expect(target.textContent).toContain(en.placement.saved);
    });

    it('other rules are calculated, told as a table, and drawn', async () => {
      const result = (policy: string, alloc130: number, failed: number) => ({
        policy,
        measures: [
          { name: 'alloc130', mean: alloc130, sd: 0.5 },
          { name: 'failed', mean: failed, sd: 0 },
        ],
        curve: [80, 100, 130].map((load) => ({ load, allocated: load / 2, frag: 1, refused: 1 })),
      });
      portal.answers.set('POST /api/v1/whatif', {
        results: [result('best_fit', 93.1, 30), result('fit', 95.4, 20)],
        nodes: 250,
        cards: 520,
        seeds: 2,
        seconds: 3.2,
        is_whole: false,
      });
      const target = await show(Placement, {});
      fill(target, '#what-load', '120');
      fill(target, '#what-hosts', '-5');
      submit(target, 'section form');
      await settle();
      expect(asked('POST /api/v1/whatif')[0]?.body).toMatchObject({
        policies: ['best_fit', 'fit'],
        load: 1.2,
        more_nodes: -5,
        departures: false,
      });
      const rows = [...target.querySelectorAll('[data-testid="what-if-result"] tbody tr')];
      expect(rows[1]?.textContent).toContain('95.4 % ± 0.5');
      expect(rows[1]?.querySelectorAll('.mark')).toHaveLength(2);
      expect(rows[0]?.querySelectorAll('.mark')).toHaveLength(0);
      expect(target.textContent).toContain(en.placement.cut);
      const plot = target.querySelector('figure svg')?.getAttribute('aria-label');
      expect(plot).toContain('fit ends at 65 % (began at 40 %)');
    });
  });

  it('demands on cards read like a sentence', () => {
    expect(gpuText(noGpu())).toBe('');
    expect(gpuText({ ...noGpu(), count: 1 })).toBe('1 graphics card');
    expect(gpuText({ ...noGpu(), count: 2, memory_mib: 46_080, models: ['A40', 'L40'] })).toBe(
      '2 × A40 / L40, 45 GiB each',
    );
    expect(gpuText({ ...noGpu(), count: 1, share_milli: 250 })).toBe('25 % of a graphics card');
    // A minimum without a card.
    expect(gpuText({ ...noGpu(), memory_mib: 24_576, bandwidth_gb_s: 700 })).toBe(
      '24 GiB, 700 GB/s',
    );
  });
});
