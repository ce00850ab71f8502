/** Pages that ask the portal do so once, and then at their own pace. */
import { flushSync, mount, unmount } from 'svelte';
import { afterEach, describe, expect, it, vi } from 'vitest';

import Hosts from '../../src/pages/admin/Hosts.svelte';

const portal = vi.hoisted(() => ({ asked: 0 }));

vi.mock('../../src/api/client', async (original) => ({
  ...(await original<typeof import('../../src/api/client')>()),
  client: {
    GET: async () => {
      portal.asked++;
      // Time passes until a portal answers.
      await new Promise((answer) => setTimeout(answer, 10));
      return { data: { nodes: [], protections: [] }, response: { ok: true } };
    },
  },
}));

describe('a page that shows what is now', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('does not ask again because an answer came', async () => {
    vi.useFakeTimers();
    const component = mount(Hosts, { target: document.body });
    flushSync();
    await vi.advanceTimersByTimeAsync(4000);
    expect(portal.asked).toBe(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(portal.asked).toBe(3);
    await unmount(component);
  });
});
