/** One viewer's stream, with a fake socket. */
import { describe, expect, it } from 'vitest';

import { Flag, HEADER_BYTES, Kind } from '../src/stream/proto';
import { message, tiles } from './bytes';
import { World } from './fake';

const RED = 0xff00_00ff;
/** A red square of 4 by 4 at the corner of a tile. */
const square = (frame: number, tile = 0) => tiles(frame, [0, tile, 0, 0, 0, 3, 3, 255, 0, 0]);
const lastOf = (payload: Uint8Array) => message(Kind.Tiles, Flag.Last, payload);

function claim(world: World, frame: number, root = world.session.root()): void {
  world.socket.say(Kind.Agent, { type: 'exact', frame, root });
}

describe('opening', () => {
  it('sends the nonce first, and says hello with its size after the welcome', async () => {
    const world = await World.start();
    await world.greet();
    const first = world.socket.sent[0];
    expect(first?.[0]).toBe(Kind.GateHello);
    expect(JSON.parse(new TextDecoder().decode(first?.slice(HEADER_BYTES)))).toEqual({
      version: 2,
      nonce: 'once',
    });
    expect(world.socket.said).toEqual([
      {
        type: 'hello',
        version: 2,
        width: 128,
        height: 96,
        decodes: ['h264', 'av1'],
        quality: 'automatic',
      },
    ]);
    expect(world.session.view).toMatchObject({
      link: { kind: 'open' },
      exact: 'catching_up',
      desktopName: 'analysis',
      userName: 'li',
      layouts: ['us', 'de'],
      size: { width: 128, height: 96 },
    });
  });

  it('sends nothing before the welcome', async () => {
    const world = await World.start();
    world.session.send({ type: 'key', code: 'KeyA', down: true });
    world.session.point(1, 1);
    expect(world.socket.sent).toEqual([]);
  });

  it('ends when the cookie opens nothing', async () => {
    const world = await World.start();
    world.answers = [{ kind: 'refused' }];
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(60_000);
    expect(world.session.view.link).toEqual({ kind: 'ended', reason: 'refused' });
    expect(world.sockets).toHaveLength(1);
  });

  it('gives up on a socket that never says anything, and comes back', async () => {
    const world = await World.start();
    await world.pass(20_000);
    expect(world.sockets[0]?.isClosed).toBe(true);
    await world.pass(20_000);
    expect(world.sockets.length).toBeGreaterThan(1);
  });
});

describe('frames', () => {
  it('are drawn when the last message has come, and acknowledged with the hashes held', async () => {
    const world = await World.start();
    await world.greet();
    const draws = world.surface.draws;
    world.socket.receive(message(Kind.Tiles, 0, square(1, 1)));
    expect(world.surface.draws).toBe(draws);
    expect(world.socket.acks).toEqual([]);
    world.socket.receive(lastOf(square(1, 0)));
    expect(world.surface.pixel(0, 0)).toBe(RED);
    expect(world.surface.pixel(64, 0)).toBe(RED);
    expect(world.surface.pixel(4, 0)).toBe(0xff00_0000);
    const [ack] = world.socket.acks;
    const view = new DataView(ack?.buffer ?? new ArrayBuffer(0));
    expect(view.getUint32(0, true)).toBe(1);
    expect(view.getUint16(12, true)).toBe(2);
    expect(view.getUint16(14, true)).toBe(1);
    expect(view.getUint16(24, true)).toBe(0);
    expect(ack).toHaveLength(34);
  });

  it('keep the old picture on the canvas after a resize until the first new one', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    world.socket.say(Kind.Agent, { type: 'resized', width: 64, height: 64 });
    expect(world.surface.pixel(0, 0)).toBe(RED);
    world.socket.receive(lastOf(tiles(2, [0, 0, 0, 8, 8, 0, 0, 1, 2, 3])));
    expect(world.surface.pixel(0, 0)).toBe(0xff00_0000);
    expect(world.session.view.size).toEqual({ width: 64, height: 64 });
  });

  it('are asked for in the size of the window, once for each size', async () => {
    const world = await World.start();
    await world.greet();
    world.session.ask({ width: 300, height: 200 });
    world.session.ask({ width: 300, height: 200 });
    expect(world.socket.said.filter((m) => m.type === 'resize')).toHaveLength(1);
    world.socket.say(Kind.Agent, { type: 'resize_refused', width_max: 200, height_max: 100 });
    expect(world.session.view.refusedBeyond).toEqual({ width: 200, height: 100 });
  });
});

describe('exactness', () => {
  it('is said when the roots agree and what was drawn reads back', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    expect(world.exact).toBe('catching_up');
    claim(world, 1);
    expect(world.exact).toBe('catching_up');
    await world.pass(10);
    expect(world.exact).toBe('exact');
    world.socket.receive(lastOf(square(2, 1)));
    expect(world.exact).toBe('catching_up');
  });

  it('is not said for an earlier frame', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    world.socket.receive(lastOf(square(2, 1)));
    claim(world, 1);
    await world.pass(50);
    expect(world.exact).toBe('catching_up');
  });

  it('is broken when the roots differ', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    claim(world, 1, '0000000000000001');
    await world.pass(50);
    expect(world.exact).toBe('broken');
  });

  it('is broken when a tile at rest reads back wrong, until it was repaired', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    claim(world, 1);
    await world.pass(10);
    expect(world.exact).toBe('exact');
    world.surface.spoil(70, 80);
    await world.pass(1200);
    const repairs = () => world.socket.said.filter((m) => m.type === 'repair');
    expect(world.views.some((view) => view.exact === 'broken')).toBe(true);
    await world.pass(1000);
    expect(repairs()).toEqual([{ type: 'repair', tiles: [3] }]);
    expect(world.exact).not.toBe('exact');
    world.socket.receive(lastOf(square(2, 3)));
    claim(world, 2);
    await world.pass(10);
    expect(world.exact).toBe('exact');
  });

  it('stays broken, without asking forever, where the browser alters all it shows', async () => {
    const world = await World.start();
    await world.greet();
    world.surface.isAltered = true;
    for (let frame = 1; frame <= 10; frame++) {
      world.socket.receive(lastOf(square(frame)));
      claim(world, frame);
      await world.pass(1000);
      expect(world.exact).toBe('broken');
    }
    const repairs = world.socket.said.filter((m) => m.type === 'repair');
    const asked = repairs.flatMap((m) => m.tiles).filter((tile) => tile === 0);
    expect(asked.length).toBeLessThanOrEqual(3);
  });

  it('counts no reading that was taken before something else was drawn', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    world.surface.holdReads();
    claim(world, 1);
    await world.pass(10);
    world.socket.receive(lastOf(tiles(2, [0, 0, 0, 0, 0, 3, 3, 1, 2, 3])));
    world.surface.deliverReads();
    world.surface.holdReads();
    await world.settle();
    world.socket.receive(lastOf(tiles(3, [0, 0, 0, 0, 0, 3, 3, 4, 5, 6])));
    world.surface.deliverReads();
    await world.settle();
    // What was read is not what is held now, and that is no fault of the canvas.
    expect(world.exact).toBe('catching_up');
    claim(world, 3);
    await world.pass(10);
    expect(world.exact).toBe('exact');
    expect(world.views.some((view) => view.exact === 'broken')).toBe(false);
  });

  it('is offline without a connection', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    claim(world, 1);
    await world.pass(10);
    world.socket.onclose?.(new Event('close') as CloseEvent);
    expect(world.exact).toBe('offline');
  });
});

describe('input', () => {
  it('leaves out pointer moves while the line is full, and repeats none', async () => {
    const world = await World.start();
    await world.greet();
    world.session.point(1, 2);
    world.session.point(1, 2);
    world.socket.bufferedAmount = 1 << 20;
    world.session.point(3, 4);
    world.socket.bufferedAmount = 0;
    world.session.point(5, 6);
    const points = world.socket.said.filter((m) => m.type === 'pointer');
    expect(points).toEqual([
      { type: 'pointer', x: 1, y: 2 },
      { type: 'pointer', x: 5, y: 6 },
    ]);
  });

  it('tells when the page is hidden', async () => {
    const world = await World.start();
    await world.greet();
    world.session.setVisible(false);
    world.session.setVisible(false);
    expect(world.socket.said.slice(1)).toEqual([{ type: 'visible', visible: false }]);
  });
});

describe('coming back', () => {
  it('waits a random part of a wait that doubles, and starts the picture anew', async () => {
    const world = await World.start();
    await world.greet();
    world.session.setLayout('de');
    world.socket.receive(lastOf(square(1)));
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      world.socket.onclose?.(new Event('close') as CloseEvent);
      const { link } = world.session.view;
      if (link.kind !== 'waiting') throw new Error(`not waiting but ${link.kind}`);
      waits.push(link.untilMs - world.time);
      await world.pass(link.untilMs - world.time);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 7500, 7500]);
    await world.greet();
    expect(world.session.view.link.kind).toBe('open');
    // What was chosen is asked for again.
    expect(world.socket.said.at(-1)).toEqual({ type: 'layout', name: 'de' });
    expect(world.session.frame).toBeNull();
  });

  it('is at once when the person asks', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.onclose?.(new Event('close') as CloseEvent);
    world.session.retry();
    await world.settle();
    expect(world.sockets).toHaveLength(2);
  });

  it.each([
    [true, 'waiting'],
    [false, 'ended'],
  ])('follows the gateway: retry %s means %s', async (retry, kind) => {
    const world = await World.start();
    await world.greet();
    world.socket.say(Kind.Gate, { type: 'close', reason: 'gateway_closing', retry });
    expect(world.session.view.link).toMatchObject({ kind, reason: 'gateway_closing' });
    expect(world.socket.isClosed).toBe(true);
  });

  it('leaves nothing on the canvas when the stream has ended', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    world.socket.onclose?.(new Event('close') as CloseEvent);
    expect(world.surface.pixel(0, 0)).toBe(RED);
    await world.pass(500);
    await world.greet();
    world.socket.receive(lastOf(square(1)));
    world.socket.say(Kind.Gate, { type: 'close', reason: 'logged_out', retry: false });
    expect(world.surface.pixel(0, 0)).not.toBe(RED);
  });

  it('waits as long as the gateway needs when there were too many', async () => {
    const world = await World.start();
    world.answers = [{ kind: 'unreachable', afterMs: 10_000 }];
    world.socket.onclose?.(new Event('close') as CloseEvent);
    world.session.retry();
    await world.settle();
    const { link } = world.session.view;
    expect(link.kind === 'waiting' && link.untilMs - world.time).toBeGreaterThanOrEqual(10_000);
  });

  it('does not happen any more after the page closed the stream', async () => {
    const world = await World.start();
    await world.greet();
    world.session.close();
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(120_000);
    expect(world.sockets).toHaveLength(1);
  });
});

describe('a broken protocol', () => {
  const bad: [string, unknown][] = [
    ['text', 'hello'],
    ['no header', new ArrayBuffer(3)],
    ['an unknown kind', message(0x55, 0, new Uint8Array(1))],
    ['a short pointer', message(Kind.Cursor, 0, new Uint8Array(4))],
    ['an operation that is none', lastOf(tiles(1, [77]))],
    ['an area outside', lastOf(tiles(1, [0, 1, 0, 60, 0, 10, 0, 1, 2, 3]))],
    ['a tile outside', lastOf(tiles(1, [0, 200, 200, 0, 0, 0, 0, 1, 2, 3]))],
    ['a copy outside', lastOf(tiles(1, [4, 0, 0, 0, 0, 120, 0, 0, 0, 20, 0, 1, 0]))],
    ['an empty slot', lastOf(tiles(1, [6, 0, 0, 0, 0]))],
    ['no such slot', lastOf(tiles(1, [5, 0, 0, 99, 0]))],
    ['pixels missing', lastOf(tiles(1, [2, 0, 0, 0, 0, 7, 7, 0], [1, 2, 3]))],
    ['pixels left over', lastOf(tiles(1, [], [1]))],
    ['a predictor that is none', lastOf(tiles(1, [2, 0, 0, 0, 0, 0, 0, 9], [1]))],
    [
      'a colour that is none',
      lastOf(tiles(1, [1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], [255])),
    ],
    ['a palette of one', lastOf(tiles(1, [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], [0]))],
    ['a body that does not unpack', message(Kind.Tiles, Flag.Last | Flag.Zstd, new Uint8Array(40))],
    ['a cut body', message(Kind.Tiles, Flag.Last, new Uint8Array(13))],
    [
      'operations longer than the body',
      lastOf(new Uint8Array([...new Uint8Array(12), 9, 0, 0, 0])),
    ],
  ];

  it.each(bad)('closes the stream and comes back: %s', async (_, data) => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(data);
    expect(world.session.view.link).toMatchObject({ kind: 'waiting', reason: 'protocol_error' });
    expect(world.socket.isClosed).toBe(true);
    await world.pass(20_000);
    await world.greet();
    expect(world.session.view.link.kind).toBe('open');
  });

  it('ends it for good after the fourth time in a row', async () => {
    const world = await World.start();
    for (let i = 0; i < 4; i++) {
      await world.greet();
      world.socket.receive('no');
      await world.pass(20_000);
    }
    expect(world.session.view.link).toEqual({ kind: 'ended', reason: 'protocol_error' });
  });

  it('passes over an optional message it does not know', async () => {
    const world = await World.start();
    await world.greet();
    world.socket.receive(message(0x55, Flag.Optional, new Uint8Array(9)));
    expect(world.session.view.link.kind).toBe('open');
  });
});
