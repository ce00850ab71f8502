/** The viewer's side of a recording: the wish, the sign, and what it is told. */
import { afterEach, describe, expect, it, vi } from 'vitest';

import { attach } from '../src/stream/attach';
import { Kind } from '../src/stream/proto';
import { World } from './fake';

async function welcome(world: World, recording: boolean): Promise<void> {
  world.socket.onopen?.(new Event('open'));
  const names = { desktop: 'd', desktop_name: 'analysis', user_name: 'li' };
  world.socket.say(Kind.Gate, { type: 'welcome', ...names, recording });
  await world.settle();
  world.socket.say(Kind.Agent, {
    type: 'hello',
    version: 2,
    width: 128,
    height: 96,
    cache_slots: 8,
    width_max: 3840,
    height_max: 2160,
    layouts: ['us'],
  });
}

describe('attaching', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  function answering(body: unknown): RequestInit[] {
    const asked: RequestInit[] = [];
    vi.stubGlobal('fetch', (_: string, init: RequestInit) => {
      asked.push(init);
      return Promise.resolve(new Response(JSON.stringify(body)));
    });
    return asked;
  }

  it('says that it wants a recording, or nothing', async () => {
    const asked = answering({ nonce: 'n', recording: 'allowed' });
    const granted = { kind: 'granted', nonce: 'n', recording: 'allowed' };
    expect(await attach('d', false)).toEqual(granted);
    expect(await attach('d', true)).toEqual(granted);
    expect(asked.map(({ body }) => body)).toEqual([undefined, '{"record":true}']);
    expect(asked[1]?.headers).toMatchObject({ 'Content-Type': 'application/json' });
  });

  it('takes a policy that it does not know for none', async () => {
    for (const recording of ['sometimes', 1, null, undefined]) {
      answering({ nonce: 'n', recording });
      expect(await attach('d', false)).toMatchObject({ recording: 'off' });
    }
  });
});

describe('recording', () => {
  async function recorded(): Promise<World> {
    const world = await World.start();
    world.recording = 'allowed';
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(20_000);
    await welcome(world, false);
    return world;
  }

  it('is offered only where people may', async () => {
    const world = await World.start();
    await welcome(world, false);
    expect(world.session.view).toMatchObject({ mayRecord: false, recording: false });
    const other = await recorded();
    expect(other.session.view).toMatchObject({ mayRecord: true, recording: false });
  });

  it('begins with a stream of its own, and so it ends', async () => {
    const world = await recorded();
    const attaches = world.records.length;
    world.session.record(true);
    await world.settle();
    expect(world.records.slice(attaches)).toEqual([true]);
    await welcome(world, true);
    expect(world.session.view).toMatchObject({ recording: true, recordingTrouble: null });
    world.session.record(false);
    expect(world.session.view.recording).toBe(false);
    await world.settle();
    await welcome(world, false);
    expect(world.records.slice(attaches)).toEqual([true, false]);
    expect(world.session.view).toMatchObject({ recording: false, recordingTrouble: null });
  });

  it('goes on after a reconnect', async () => {
    const world = await recorded();
    world.session.record(true);
    await world.settle();
    await welcome(world, true);
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(20_000);
    expect(world.records.at(-1)).toBe(true);
  });

  it('that ends in mid-stream is said to have ended, and is not begun again', async () => {
    const world = await recorded();
    world.session.record(true);
    await world.settle();
    await welcome(world, true);
    world.socket.say(Kind.Gate, { type: 'recording', on: false });
    expect(world.session.view).toMatchObject({
      link: { kind: 'open' },
      recording: false,
      recordingTrouble: 'ended',
    });
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(20_000);
    expect(world.records.at(-1)).toBe(false);
  });

  it('that does not begin is said to have failed', async () => {
    const world = await recorded();
    world.session.record(true);
    await world.settle();
    await welcome(world, false);
    expect(world.session.view).toMatchObject({ recording: false, recordingTrouble: 'failed' });
  });

  it('by the policy is shown without a wish', async () => {
    const world = await World.start();
    await welcome(world, true);
    expect(world.session.view).toMatchObject({ recording: true, mayRecord: false });
  });
});
