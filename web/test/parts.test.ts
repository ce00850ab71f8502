/** The smaller parts of the stream, each alone. */
import { describe, expect, it } from 'vitest';

import { readCursor } from '../src/stream/cursor';
import { Exactness } from '../src/stream/exact';
import { Grid } from '../src/stream/grid';
import { layoutOf } from '../src/stream/layout';
import { Picture, TILE } from '../src/stream/picture';
import { PixelCode } from '../src/stream/pixels';
import { Stats } from '../src/stream/stats';
import { Zstd } from '../src/stream/zstd';
import { bytesOf } from './bytes';

/** A generator of numbers below `n`, the same in every run. */
function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe('zstd', () => {
  it('unpacks, again and again', async () => {
    const zstd = await Zstd.load();
    const packed = bytesOf('28b52ffd600e00850000486265616d6465736b2001000254cb11');
    for (let i = 0; i < 3; i++) {
      expect(new TextDecoder().decode(zstd.unpack(packed))).toBe('beamdesk '.repeat(30));
    }
  });

  it('refuses a body that unpacks to more than 4 MiB', async () => {
    const zstd = await Zstd.load();
    // Zeros, so that they pack well: 4 MiB, and one byte more.
    const most = bytesOf(
      '28b52ffd8058000040005400001000000100fbff39c00202001000020010000200100002001000020010' +
        '000200100002001000020010000200100002001000020010000200100002001000020010000200100002' +
        '001000020010000200100002001000020010000200100002001000020010000200100002001000020010' +
        '000200100002001000020010000200100003001000',
    );
    const more = bytesOf(
      '28b52ffd8058010040005400001000000100fbff39c00202001000020010000200100002001000020010' +
        '000200100002001000020010000200100002001000020010000200100002001000020010000200100002' +
        '001000020010000200100002001000020010000200100002001000020010000200100002001000020010' +
        '00020010000200100002001000020010000200100009000000',
    );
    expect(zstd.unpack(most)).toHaveLength(4 << 20);
    expect(() => zstd.unpack(more)).toThrow('does not unpack');
  });
});

describe('rectangles to draw', () => {
  it('cover exactly the tiles asked for, each once, for any set of tiles', () => {
    const random = seeded(7);
    for (let round = 0; round < 80; round++) {
      const grid = new Grid(64 + random(700), 64 + random(500));
      const tiles = new Set<number>();
      const count = random(grid.tiles + 1);
      for (let i = 0; i < count; i++) tiles.add(random(grid.tiles));
      const drawn = new Uint8Array(grid.width * grid.height);
      for (const { x, y, width, height } of grid.merge(tiles)) {
        for (let row = y; row < y + height; row++) {
          for (let column = x; column < x + width; column++) {
            const at = row * grid.width + column;
            drawn[at] = (drawn[at] ?? 0) + 1;
          }
        }
      }
      const wrong = drawn.findIndex((times, at) => {
        const column = Math.floor((at % grid.width) / TILE);
        const row = Math.floor(Math.floor(at / grid.width) / TILE);
        return times !== (tiles.has(row * grid.columns + column) ? 1 : 0);
      });
      expect(wrong).toBe(-1);
    }
  });

  it('are few: a whole picture is one', () => {
    const grid = new Grid(1920, 1080);
    const all = [...Array(grid.tiles).keys()];
    expect(grid.merge(all)).toEqual([{ x: 0, y: 0, width: 1920, height: 1080 }]);
  });
});

describe('the held picture', () => {
  it('copies as if by way of a buffer, whichever way the rectangles overlap', async () => {
    const picture = new Picture(await PixelCode.load());
    const random = seeded(3);
    picture.resize(90, 80);
    for (let round = 0; round < 500; round++) {
      picture.pixels.forEach((_, at) => (picture.pixels[at] = random(2 ** 32)));
      const before = picture.pixels.slice();
      const width = 1 + random(90);
      const height = 1 + random(80);
      const [sx, dx] = [random(91 - width), random(91 - width)];
      const [sy, dy] = [random(81 - height), random(81 - height)];
      picture.copy(sx, sy, dx, dy, width, height);
      const wrong = picture.pixels.findIndex((pixel, at) => {
        const x = at % 90;
        const y = Math.floor(at / 90);
        const isIn = x >= dx && x < dx + width && y >= dy && y < dy + height;
        return pixel !== before[isIn ? (y - dy + sy) * 90 + (x - dx + sx) : at];
      });
      expect(wrong).toBe(-1);
    }
  });

  it('keeps its cache over a resize, and only for tiles of the same size', async () => {
    const picture = new Picture(await PixelCode.load());
    picture.restart(128, 128, 4);
    picture.pixels.fill(0xff12_3456);
    picture.save(3, 2);
    picture.resize(100, 64);
    picture.load(0, 2);
    expect(picture.pixels[0]).toBe(0xff12_3456);
    expect(() => {
      picture.load(1, 2);
    }).toThrow('another size');
    picture.restart(128, 128, 4);
    expect(() => {
      picture.load(0, 2);
    }).toThrow('empty');
  });
});

describe('exactness', () => {
  it('is never said while something drawn was not read back, or read back wrong', () => {
    const random = seeded(11);
    const exactness = new Exactness();
    exactness.connected();
    const unverified = new Set<number>();
    const wrong = new Set<number>();
    let frame = 0;
    let isConfirmed = false;
    for (let step = 0; step < 20_000; step++) {
      const tile = random(5);
      switch (random(4)) {
        case 0:
          frame++;
          exactness.drawn([tile]);
          unverified.add(tile);
          isConfirmed = false;
          break;
        case 1: {
          const claimed = frame - random(2);
          exactness.claimed({ frame: claimed, root: 'a' }, { frame, root: 'a' });
          if (claimed === frame) isConfirmed = true;
          break;
        }
        default: {
          const isRight = random(3) > 0;
          exactness.verified(tile, isRight);
          unverified.delete(tile);
          if (isRight) wrong.delete(tile);
          else wrong.add(tile);
        }
      }
      const may = isConfirmed && unverified.size === 0 && wrong.size === 0;
      expect(exactness.state === 'exact').toBe(may);
    }
  });
});

describe('the pointer', () => {
  it('is read with its hot spot inside the image', () => {
    const payload = new Uint8Array(8 + 4);
    new DataView(payload.buffer).setUint16(0, 1, true);
    new DataView(payload.buffer).setUint16(2, 1, true);
    new DataView(payload.buffer).setUint16(4, 9, true);
    expect(readCursor(payload)).toMatchObject({ width: 1, height: 1, hotX: 0, hotY: 0 });
  });

  it('is refused when its length is not that of its size', () => {
    expect(() => readCursor(new Uint8Array(9))).toThrow();
  });
});

describe('the keyboard', () => {
  it.each([
    [{ KeyQ: 'a', KeyW: 'z', KeyY: 'y' }, 'fr'],
    [{ KeyQ: 'q', KeyY: 'z', Minus: 'ß' }, 'de'],
    [{ KeyQ: 'q', KeyY: 'y', Semicolon: ';' }, 'us'],
    [{ KeyQ: 'ξ' }, null],
  ])('is guessed by what its keys give: %o', (keys, expected) => {
    expect(layoutOf(new Map(Object.entries(keys)), ['us', 'de', 'fr'])).toBe(expected);
  });

  it('is not guessed where the desktop has no such layout', () => {
    expect(
      layoutOf(
        new Map([
          ['KeyQ', 'a'],
          ['KeyW', 'z'],
        ]),
        ['us'],
      ),
    ).toBeNull();
  });
});

describe('numbers', () => {
  it('count what was shown in the last two seconds, and how long an answer took', () => {
    const stats = new Stats();
    stats.asked(1000);
    stats.asked(1010);
    stats.shown({ at: 1030, isVideo: true, bytes: 500, decodeMs: 2, drawMs: 1 });
    stats.shown({ at: 1500, isVideo: false, bytes: 1500, decodeMs: 4, drawMs: 3 });
    expect(stats.numbers(2000)).toMatchObject({
      frames: 2,
      videoFrames: 1,
      framesPerSecond: 1,
      bytesPerSecond: 1000,
      decodeMs: 3,
      drawMs: 2,
      answerMs: 30,
    });
    expect(stats.numbers(9000)).toMatchObject({ frames: 2, framesPerSecond: 0, decodeMs: 0 });
  });
});
