/** The WebAssembly next to plain JavaScript that does the same, and the canvas of another thread. */
import xxhash from 'xxhash-wasm';
import { describe, expect, it } from 'vitest';

import { Picture } from '../src/stream/picture';
import { PixelCode } from '../src/stream/pixels';
import { type Brush, RemoteSurface, type Stroke } from '../src/stream/remote';
import { Buffers } from '../src/stream/surface';

/** A generator of numbers below `n`, the same in every run. */
function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** MED as docs/protocol.md says it. */
function undoMed(source: Uint8Array, width: number): Uint8Array {
  const out = new Uint8Array(source.length);
  for (let i = 0; i < source.length; i++) {
    const x = i % width;
    const a = x > 0 ? (out[i - 1] ?? 0) : 0;
    const b = out[i - width] ?? 0;
    const c = x > 0 ? (out[i - width - 1] ?? 0) : 0;
    const p =
      c >= Math.max(a, b) ? Math.min(a, b) : c <= Math.min(a, b) ? Math.max(a, b) : a + b - c;
    out[i] = (source[i] ?? 0) + p;
  }
  return out;
}

const opaque = (red: number, green: number, blue: number) =>
  (0xff00_0000 | (blue << 16) | (green << 8) | red) >>> 0;

async function world() {
  const code = await PixelCode.load();
  const picture = new Picture(code);
  picture.restart(200, 150, 0);
  return { code, picture, random: seeded(5) };
}

describe('planes', () => {
  it.each([0, 1])(
    'of any size and place are expanded as documented, predictor %i',
    async (predictor) => {
      const { code, picture, random } = await world();
      const plain = (plane: Uint8Array, width: number) =>
        predictor === 1 ? undoMed(plane, width) : plane;
      for (let round = 0; round < 300; round++) {
        picture.pixels.fill(7);
        const width = 1 + random(64);
        const height = 1 + random(64);
        const x = random(200 - width + 1);
        const y = random(150 - height + 1);
        const planes = round % 2 === 0 ? 1 : 3;
        const noise = [256, 3, 2][random(3)] ?? 2;
        const bytes = Uint8Array.from(
          { length: width * height * planes },
          () => (random(noise) - (noise >> 1)) & 255,
        );
        const body = code.body(bytes);
        const out = picture.span({ x, y, width, height });
        if (planes === 1) code.grey(predictor, body, out);
        else code.rgb(predictor, body, out);
        const size = width * height;
        const [g, r, b] = [0, 1, 2].map((plane) =>
          plane < planes ? plain(bytes.subarray(plane * size, (plane + 1) * size), width) : null,
        );
        const wrong = picture.pixels.findIndex((pixel, at) => {
          const column = (at % 200) - x;
          const row = Math.floor(at / 200) - y;
          if (column < 0 || row < 0 || column >= width || row >= height) return pixel !== 7;
          const i = row * width + column;
          const green = g?.[i] ?? 0;
          const red = r ? ((r[i] ?? 0) + green) & 255 : green;
          const blue = b ? ((b[i] ?? 0) + green) & 255 : green;
          return pixel !== opaque(red, green, blue);
        });
        expect({ round, wrong }).toEqual({ round, wrong: -1 });
      }
    },
  );

  it('of indices are looked up, and an index beyond the palette is refused', async () => {
    const { code, picture, random } = await world();
    for (let round = 0; round < 200; round++) {
      const width = 1 + random(64);
      const height = 1 + random(64);
      const count = 2 + random(15);
      const bits = count <= 2 ? 1 : count <= 4 ? 2 : 4;
      const colours = Uint32Array.from({ length: count }, () => random(2 ** 32));
      const rowBytes = Math.ceil((width * bits) / 8);
      const packed = new Uint8Array(rowBytes * height);
      const indices = Array.from({ length: width * height }, () => random(count));
      for (const [i, index] of indices.entries()) {
        const bit = (i % width) * bits;
        const at = Math.floor(i / width) * rowBytes + (bit >> 3);
        packed[at] = (packed[at] ?? 0) | (index << (8 - bits - (bit & 7)));
      }
      const out = picture.span({ x: 3, y: 5, width, height });
      expect(code.palette(colours, bits, code.body(packed), out)).toBe(true);
      const wrong = indices.findIndex((index, i) => {
        const at = out.start + Math.floor(i / width) * 200 + (i % width);
        return picture.pixels[at] !== colours[index];
      });
      expect(wrong).toBe(-1);
      if (count === 2 ** bits) continue;
      packed.fill(255);
      expect(code.palette(colours, bits, code.body(packed), out)).toBe(false);
    }
  });
});

describe('hashes', () => {
  it('of tiles and bytes are those of another XXH64', async () => {
    const reference = await xxhash();
    const { code, picture, random } = await world();
    picture.pixels.forEach((_, at) => (picture.pixels[at] = random(2 ** 32)));
    for (let round = 0; round < 200; round++) {
      const width = 1 + random(64);
      const height = 1 + random(64);
      const rect = { x: random(201 - width), y: random(151 - height), width, height };
      const gathered = new Uint32Array(width * height);
      for (let row = 0; row < height; row++) {
        const { start } = picture.span({ ...rect, y: rect.y + row });
        gathered.set(picture.pixels.subarray(start, start + width), row * width);
      }
      expect(code.hash(picture.span(rect))).toBe(reference.h64Raw(new Uint8Array(gathered.buffer)));
    }
    for (let length = 0; length < 100; length++) {
      const bytes = Uint8Array.from({ length }, () => random(256));
      expect(code.hashOf(bytes)).toBe(reference.h64Raw(bytes));
    }
  });

  it('stay right when the picture has grown', async () => {
    const { code, picture } = await world();
    const small = picture.tileHash(0);
    picture.resize(7680, 4320);
    expect(picture.tileHash(0)).toBe(small);
    expect(code.hash(picture.span(picture.tileRect(picture.tiles - 1)))).toBe(
      picture.tileHash(picture.tiles - 1),
    );
  });
});

describe('the canvas of another thread', () => {
  function remote() {
    const posted: Brush[] = [];
    const surface = new RemoteSurface(
      (brush) => posted.push(brush),
      () => 'copy',
      () => 0,
    );
    return { posted, surface };
  }

  it('gets the pixels of the rectangles drawn, and only those', async () => {
    const { picture, random } = await world();
    const { posted, surface } = remote();
    picture.pixels.forEach((_, at) => (picture.pixels[at] = random(2 ** 32)));
    for (const tiles of [[0], [0, 1, 4, 5], [3, 7, 11], [...Array(12).keys()], [11, 2]]) {
      surface.draw(picture, tiles);
      const brush = posted.pop();
      if (brush?.brush !== 'pixels') throw new Error('no pixels');
      let covered = 0;
      for (const { x, y, width, height, at } of brush.blits) {
        covered += width * height;
        const pixels = new Uint32Array(brush.buffer, at, width * height);
        const seen = { width, height, data: new Uint8ClampedArray(pixels.slice().buffer) };
        expect(picture.equals({ x, y, width, height }, seen)).toBe(true);
      }
      const asked = tiles.map((tile) => picture.tileRect(tile));
      expect(covered).toBe(asked.reduce((sum, { width, height }) => sum + width * height, 0));
    }
    surface.draw(picture, []);
    expect(posted).toEqual([]);
  });

  it('says when it is done with all that was asked for before, and what it took', async () => {
    const { picture } = await world();
    const { surface } = remote();
    const done: [string, number][] = [];
    const drawn = (turn: number, drawMs: number): Stroke => ({
      stroke: 'drawn',
      turn,
      drawMs,
      buffer: null,
    });
    surface.done((ms) => done.push(['nothing', ms]));
    surface.draw(picture, [0]);
    surface.draw(picture, [1]);
    surface.done((ms) => done.push(['two', ms]));
    surface.draw(picture, [2]);
    surface.done((ms) => done.push(['three', ms]));
    expect(done).toEqual([['nothing', 0]]);
    surface.stroke(drawn(1, 1));
    expect(done).toHaveLength(1);
    surface.stroke(drawn(2, 2));
    surface.stroke(drawn(3, 4));
    expect(done).toEqual([
      ['nothing', 0],
      ['two', 3],
      ['three', 4],
    ]);
    surface.done((ms) => done.push(['again nothing', ms]));
    expect(done).toHaveLength(4);
  });

  it('uses memory again, and keeps no more than it needs', () => {
    const buffers = new Buffers();
    const first = buffers.take(100);
    buffers.give(first);
    expect(buffers.take(80)).toBe(first);
    buffers.give(first);
    expect(buffers.take(200).byteLength).toBe(200);
    const others = new Buffers();
    const many = Array.from({ length: 20 }, () => new ArrayBuffer(10));
    for (const buffer of many) others.give(buffer);
    const kept = many.filter(() => many.includes(others.take(10)));
    expect(kept).toHaveLength(Buffers.KEPT_MAX);
  });
});
