/** The page of recordings, and the sign in the viewer. */
import { type Component, flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Me, Recording, Role } from '../../src/api/client';
import Recordings from '../../src/pages/Recordings.svelte';
import { session } from '../../src/session.svelte';
import { en } from '../../src/text/en';
import { zh } from '../../src/text/zh';
import { words } from '../../src/text/words.svelte';
import RecordingSign from '../../src/viewer/RecordingSign.svelte';

const portal = vi.hoisted(() => ({
  recordings: [] as unknown[],
  policy: 'allowed',
  asked: [] as { method: string; path: string; options: unknown }[],
}));

vi.mock('../../src/api/client', async (original) => {
  const ask = (method: string) => (path: string, options: unknown) => {
    portal.asked.push({ method, path, options });
    const { recordings, policy } = portal;
    const answers: Record<string, unknown> = {
      GET: { recordings, policy },
      POST: { ticket: 't', play_url: 'https://desk.example.org/play', expires: '' },
      PUT: { policy: 'always' },
    };
    return Promise.resolve({ data: answers[method], response: { ok: true } });
  };
  return {
    ...(await original<typeof import('../../src/api/client')>()),
    client: { GET: ask('GET'), POST: ask('POST'), PUT: ask('PUT'), DELETE: ask('DELETE') },
  };
});

const me = (role: Role): Me => ({
  id: 'm',
  name: 'ada',
  role,
  language: 'en',
  theme: 'system',
  provided: false,
});

const recording = (changes: Partial<Recording> = {}): Recording => ({
  id: 'r1',
  desktop: { id: 'd', name: 'analysis' },
  user: { id: 'm', name: 'ada' },
  started: '2026-01-02T03:04:05Z',
  duration_ms: 3_725_000,
  bytes: 5 << 20,
  end: 'ended',
  required: false,
  may: { play: true, remove: true },
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

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    flushSync();
    await vi.advanceTimersByTimeAsync(0);
  }
  flushSync();
}

const button = (target: HTMLElement, text: string) =>
  [...target.querySelectorAll('button')].find((one) => one.textContent.trim() === text);

describe('the page of recordings', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    portal.asked = [];
    portal.recordings = [recording()];
    portal.policy = 'allowed';
    session.begun(me('user'));
  });

  afterEach(async () => {
    vi.useRealTimers();
    if (shown) await unmount(shown.component);
    shown?.target.remove();
    shown = null;
    words.use('en');
  });

  it('shows length, size and how each ended', async () => {
    const target = await show(Recordings, {});
    const row = target.querySelector('[data-testid="recording"]')?.textContent ?? '';
    for (const part of ['analysis', '1:02:05', '5 MiB', en.recordings.ends.ended]) {
      expect(row).toContain(part);
    }
  });

  it.each(['off', 'allowed', 'always'] as const)(
    'says what to do where there is none: %s',
    async (policy) => {
      portal.recordings = [];
      portal.policy = policy;
      for (const [language, text] of [['en', en] as const, ['zh', zh] as const]) {
        words.use(language);
        const target = await show(Recordings, {});
        expect(target.textContent).toContain(text.recordings.empty[policy]);
        if (shown) await unmount(shown.component);
        target.remove();
      }
    },
  );

  it('plays by a form with the ticket in its body, in a tab of its own', async () => {
    const target = await show(Recordings, {});
    const forms: { action: string; target: string; fields: string[][] }[] = [];
    vi.spyOn(HTMLFormElement.prototype, 'submit').mockImplementation(function (
      this: HTMLFormElement,
    ) {
      const fields = [...this.querySelectorAll('input')].map(({ name, value }) => [name, value]);
      forms.push({ action: this.action, target: this.target, fields });
    });
    button(target, en.recordings.play)?.click();
    await settle();
    button(target, en.recordings.download)?.click();
    await settle();
    const asked = portal.asked.filter(({ method }) => method === 'POST');
    expect(asked.map(({ options }) => (options as { body: unknown }).body)).toEqual([
      { use: 'play' },
      { use: 'download' },
    ]);
    expect(forms).toHaveLength(2);
    expect(forms[0]).toMatchObject({ action: 'https://desk.example.org/play', target: '_blank' });
    expect(forms[1]?.target).toBe('_self');
    expect(forms[0]?.fields).toContainEqual(['ticket', 't']);
  });

  it('deletes only after it was asked again', async () => {
    const target = await show(Recordings, {});
    button(target, en.remove)?.click();
    await settle();
    expect(portal.asked.some(({ method }) => method === 'DELETE')).toBe(false);
    const dialog = target.querySelector('dialog');
    expect(dialog?.textContent).toContain(en.recordings.removeTitle('analysis'));
    [...(dialog?.querySelectorAll('button') ?? [])].at(-1)?.click();
    await settle();
    const asked = portal.asked.find(({ method }) => method === 'DELETE');
    expect(asked?.options).toEqual({ params: { path: { id: 'r1' } } });
  });

  it('lets nobody press what may not be done', async () => {
    portal.recordings = [recording({ required: true, may: { play: false, remove: false } })];
    const target = await show(Recordings, {});
    for (const text of [en.recordings.play, en.recordings.download, en.remove]) {
      expect(button(target, text)?.disabled, text).toBe(true);
    }
  });

  it('looks again as long as one goes on', async () => {
    portal.recordings = [recording({ end: null })];
    await show(Recordings, {});
    const count = () => portal.asked.filter(({ method }) => method === 'GET').length;
    const before = count();
    await vi.advanceTimersByTimeAsync(5000);
    expect(count()).toBe(before + 1);
    portal.recordings = [recording()];
    await vi.advanceTimersByTimeAsync(5000);
    await settle();
    const after = count();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(count()).toBe(after);
  });

  it('gives the policy and everybody’s to administrators alone', async () => {
    let target = await show(Recordings, {});
    expect(target.querySelector('[data-testid="recording-policy"]')).toBeNull();
    expect(target.querySelector('[data-testid="whose"]')).toBeNull();
    if (shown) await unmount(shown.component);
    target.remove();
    session.begun(me('administrator'));
    target = await show(Recordings, {});
    const policy = target.querySelector<HTMLSelectElement>('[data-testid="recording-policy"]');
    expect(policy?.value).toBe('allowed');
    if (policy) policy.value = 'always';
    policy?.dispatchEvent(new Event('change', { bubbles: true }));
    await settle();
    const put = portal.asked.find(({ method }) => method === 'PUT');
    expect(put?.options).toEqual({ body: { policy: 'always' } });
    const whose = target.querySelector<HTMLSelectElement>('[data-testid="whose"]');
    if (whose) whose.value = 'all';
    whose?.dispatchEvent(new Event('change', { bubbles: true }));
    await settle();
    const last = portal.asked.at(-1)?.options as { params: { query: unknown } };
    expect(last.params.query).toEqual({ all: true, limit: 100 });
    expect(target.textContent).toContain('ada');
  });
});

describe('the sign', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });

  afterEach(async () => {
    vi.useRealTimers();
    if (shown) await unmount(shown.component);
    shown?.target.remove();
    shown = null;
    words.use('en');
  });

  it('is there in words, in both languages, and said to those who do not see it', async () => {
    for (const [language, text] of [['en', en] as const, ['zh', zh] as const]) {
      words.use(language);
      const target = await show(RecordingSign, { isOn: true });
      const place = target.querySelector('[role="status"]');
      expect(place?.getAttribute('aria-live')).toBe('polite');
      expect(place?.textContent).toContain(text.viewer.recording);
      if (shown) await unmount(shown.component);
      target.remove();
    }
    const target = await show(RecordingSign, { isOn: false });
    expect(target.querySelector('[role="status"]')).not.toBeNull();
    expect(target.textContent.trim()).toBe('');
  });
});
