/** Damaged, cut, doubled and mixed messages: a clear state each time, and never another error. */
import { zstdCompressSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { Flag, Kind } from '../src/stream/proto';
import { message, tiles, video } from './bytes';
import { World } from './fake';

const ROUNDS = 1500;

/** A generator of numbers below `n`, the same in every run. */
function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function good(frame: number): ArrayBuffer[] {
  const noise = Array.from({ length: 192 }, (_, i) => (i * 37) & 255);
  const body = tiles(
    frame,
    [2, 0, 0, 0, 0, 7, 7, 1, 3, 1, 0, 0, 0, 7, 7, 1],
    [...noise.slice(0, 64), ...noise],
  );
  const packed = new Uint8Array([...body.subarray(0, 12), ...zstdCompressSync(body.subarray(12))]);
  const palette = tiles(
    frame,
    [1, 2, 0, 0, 0, 7, 7, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    noise.slice(0, 16).map((v) => v & 0xaa & 0x55),
  );
  return [
    message(Kind.Tiles, Flag.Last, body),
    message(Kind.Tiles, Flag.Last | Flag.Zstd, packed),
    message(Kind.Tiles, Flag.Last, palette),
    message(Kind.Tiles, Flag.Last, tiles(frame, [4, 0, 0, 0, 0, 10, 0, 20, 0, 40, 0, 30, 0])),
    message(Kind.Tiles, Flag.Last, tiles(frame, [5, 0, 0, 1, 0, 6, 1, 0, 1, 0])),
    message(Kind.Video, Flag.Last, video(frame, { key: true })),
    message(Kind.Video, 0, video(frame, { key: true, goesOn: true })),
    message(Kind.Cursor, 0, new Uint8Array(8 + 64).fill(4, 0, 1).fill(4, 2, 3)),
    message(
      Kind.Agent,
      0,
      new TextEncoder().encode(`{"type":"resized","width":${64 + frame},"height":96}`),
    ),
    message(Kind.Agent, 0, new TextEncoder().encode('{"type":"marked","regions":[{"x":1}]}')),
  ];
}

describe('a stream of damaged messages', () => {
  it.each([1, 2, 3])('ends in a clear state or goes on (%i)', async (seed) => {
    const random = seeded(seed);
    const world = await World.start();
    await world.greet();
    let ended = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const messages = good(1 + (round % 200));
      const bytes = new Uint8Array(messages[random(messages.length)] ?? new ArrayBuffer(0)).slice();
      switch (random(5)) {
        case 0: // As it is, perhaps in a wrong place.
          break;
        case 1:
          for (let i = random(4); i >= 0; i--) bytes[random(bytes.length)] = random(256);
          break;
        case 2: // Damage behind the header only, so that it gets further in.
          for (let i = random(4); i >= 0; i--) {
            bytes[8 + random(bytes.length - 8)] = random(256);
          }
          break;
        case 3: {
          const cut = bytes.slice(0, 8 + random(bytes.length - 8));
          new DataView(cut.buffer).setUint32(4, cut.length - 8, true);
          world.socket.receive(cut.buffer);
          break;
        }
        default:
          world.socket.receive(bytes.buffer);
      }
      world.socket.receive(bytes.buffer);
      await world.settle();
      expect(world.surface.prepared).toBeLessThanOrEqual(8);
      if (world.session.view.link.kind === 'open') continue;
      ended++;
      // Whoever broke it, a good stream after that is a good one.
      expect(world.session.view.link).toMatchObject({ kind: 'waiting', reason: 'protocol_error' });
      await world.pass(20_000);
      await world.greet();
      await world.pass(11_000);
      expect(world.session.view.link.kind).toBe('open');
    }
    expect(ended).toBeGreaterThan(100);
  });
});
