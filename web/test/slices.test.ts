/** 16-bit pictures: put together as the agent's encoder took them apart, and shown as DICOM says. */
import { readFileSync } from 'node:fs';

import { beforeAll, describe, expect, it } from 'vitest';

import {
  autoContrast,
  clip,
  contrastOf,
  greys,
  inks,
  paint,
  probe,
  rangeOf,
} from '../src/stream/contrast';
import { Flag, type Message, ProtocolError } from '../src/stream/proto';
import { type SliceAt, SliceDecoder } from '../src/stream/slices';
import { Zstd } from '../src/stream/zstd';
import { bytesOf, hexOf } from './bytes';

interface Case {
  name: string;
  columns: number;
  rows: number;
  values: string;
  hash: string;
  messages: { flags: number; payload: string }[];
}

const url = new URL('../../crates/beamdesk-media/vectors/slices.json', import.meta.url);
const cases = JSON.parse(readFileSync(url, 'utf8')) as Case[];

let zstd: Zstd;
let decoder: SliceDecoder;

beforeAll(async () => {
  zstd = await Zstd.load();
});

const messagesOf = (one: Case): Message[] =>
  one.messages.map(({ flags, payload }) => ({ kind: 5, flags, payload: bytesOf(payload) }));

function caseOf(name: string): Case {
  const found = cases.find((one) => one.name === name);
  if (!found) throw new Error(`no case ${name}`);
  return found;
}

describe('pictures', () => {
  beforeAll(async () => {
    decoder = await SliceDecoder.load(zstd);
  });

  it.each(cases)('come back value for value: $name', (one) => {
    const messages = messagesOf(one);
    for (const [index, message] of messages.entries()) {
      const seen = decoder.receive(message);
      expect(seen.last).toBe((message.flags & Flag.Last) !== 0);
      if (index < messages.length - 1) continue;
      expect(seen.shown).toEqual({ type: 'slice_shown', place: 1, picture: 5, hash: one.hash });
      const [change] = seen.changes;
      if (change?.kind !== 'values') throw new Error('it is whole');
      expect(hexOf(new Uint8Array(change.values.buffer))).toBe(one.values);
      expect(change.isExact).toBe(true);
      expect(change.at).toEqual({
        rect: { x: -3, y: 40, width: 200, height: 100 },
        columns: one.columns,
        rows: one.rows,
        window: 400,
        level: 40,
        offset: -1024,
      });
    }
    expect(decoder.restart()).toEqual([{ kind: 'hide', place: 1 }]);
    expect(decoder.restart()).toEqual([]);
  });

  it('are not exact when a value is another', () => {
    const [show, rows] = messagesOf(caseOf('one value'));
    if (!show || !rows) throw new Error('two messages');
    decoder.receive(show);
    const spoilt = rows.payload.slice();
    spoilt[17] = (spoilt[17] ?? 0) ^ 1;
    const seen = decoder.receive({ ...rows, payload: spoilt });
    expect(seen.changes).toMatchObject([{ kind: 'values', isExact: false }]);
    expect(seen.shown?.hash).not.toBe(caseOf('one value').hash);
    decoder.restart();
  });

  it('move without their values', () => {
    const [show, rows] = messagesOf(caseOf('one value'));
    if (!show || !rows) throw new Error('two messages');
    expect(decoder.receive(show).changes).toEqual([{ kind: 'coming', place: 1 }]);
    decoder.receive(rows);
    const moved = show.payload.slice();
    new DataView(moved.buffer).setInt16(12, 77, true);
    expect(decoder.receive({ ...show, payload: moved }).changes).toMatchObject([
      { kind: 'move', place: 1, at: { rect: { x: 77 } } },
    ]);
    decoder.restart();
  });
});

describe('hostile messages', () => {
  const set = (from: Uint8Array, at: number, ...bytes: number[]) => {
    const changed = from.slice();
    changed.set(bytes, at);
    return changed;
  };
  const tomogram = caseOf('a tomogram');
  const [show, rows] = messagesOf(tomogram);
  if (!show || !rows) throw new Error('at least two messages');
  const nan = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];

  it.each<[string, number, Uint8Array]>([
    ['nothing', 0, new Uint8Array(0)],
    ['another version', 0, set(show.payload, 4, 2)],
    ['an unknown operation', 0, set(show.payload, 5, 3)],
    ['no place', 0, set(show.payload, 6, 8)],
    ['no columns', 0, set(show.payload, 20, 0, 0)],
    ['too many rows', 0, set(show.payload, 22, 1, 32)],
    ['an empty rectangle', 0, set(show.payload, 16, 0, 0)],
    ['a window that is no number', 0, set(show.payload, 24, ...nan)],
    ['a level that is no number', 0, set(show.payload, 32, ...nan)],
    ['an offset out of bounds', 0, set(show.payload, 40, 0, 0, 0, 0x7f)],
    ['a cut show', 0, show.payload.slice(0, -1)],
    ['a long show', 0, set(new Uint8Array(show.payload.length + 1), 0, ...show.payload)],
    ['one that became another', 0, set(show.payload, 20, 95)],
    ['rows of another', rows.flags, set(rows.payload, 8, 9)],
    ['rows out of turn', rows.flags, set(rows.payload, 12, 1)],
    ['no rows', rows.flags, set(rows.payload, 14, 0, 0)],
    ['rows beyond the end', rows.flags, set(rows.payload, 14, 65)],
    ['another number of rows', rows.flags, set(rows.payload, 14, 1)],
    ['an unknown predictor', rows.flags, set(rows.payload, 16, 2)],
    ['cut rows', rows.flags, rows.payload.slice(0, -1)],
    ['rows that are not packed', 0, rows.payload],
    ['rows without their head', rows.flags, rows.payload.slice(0, 16)],
    ['garbage', Flag.Zstd, set(rows.payload, 17, 9, 9, 9, 9, 9, 9)],
    ['a long hide', 0, set(show.payload.slice(0, 9), 5, 2)],
  ])('%s', async (_, flags, payload) => {
    const fresh = await SliceDecoder.load(zstd);
    fresh.receive(show);
    expect(() => fresh.receive({ kind: 5, flags, payload })).toThrow(ProtocolError);
  });

  it('claims of more memory than there may be', async () => {
    const fresh = await SliceDecoder.load(zstd);
    const large = set(show.payload, 20, 0, 32, 0, 32);
    for (let place = 0; place < 3; place++) {
      fresh.receive({ ...show, payload: set(large, 6, place) });
    }
    const fourth = { ...show, payload: set(large, 6, 3) };
    expect(() => fresh.receive(fourth)).toThrow('slices too large');
  });

  it('any bytes at all', async () => {
    const fresh = await SliceDecoder.load(zstd);
    let state = 1;
    const next = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 3000; round++) {
      const source = next(2) === 0 ? show : rows;
      const payload = source.payload.slice(0, next(2) === 0 ? undefined : next(80));
      for (let changes = next(4); changes > 0; changes--) {
        if (payload.length > 0) payload[next(Math.min(60, payload.length))] = next(256);
      }
      try {
        fresh.receive({ kind: 5, flags: next(8), payload });
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }
  });
});

describe('window and level', () => {
  /** DICOM's LINEAR function in whole numbers: nothing is rounded before the end. */
  function exactly(x: bigint, window: bigint, level: bigint): number {
    // Both sides of each comparison times 2.
    const centred = 2n * (x - level) + 1n;
    const span = window - 1n;
    if (centred <= -span) return 0;
    if (centred > span) return 255;
    const [numerator, denominator] = [255n * (centred + span), 2n * span];
    return Number((2n * numerator + denominator) / (2n * denominator));
  }

  it.each([
    [65_536, 32_768, 0],
    [4096, 2048, 0],
    [400, 40, -1024],
    [1500, -600, -32_768],
    [256, 128, 0],
    [255, 100, 0],
    [2, 1000, 0],
    [1, 1000, 0],
    [100_000, 40_000, 0],
  ])('of %i, %i with offset %i is DICOM’s for every value', (window, level, offset) => {
    const table = greys({ window, level }, offset);
    const expected = Uint8Array.from({ length: 65_536 }, (_, value) =>
      exactly(BigInt(value + offset), BigInt(window), BigInt(level)),
    );
    expect(Buffer.compare(table, expected)).toBe(0);
  });

  it('has the values of the standard’s note for 12 bits to 8', () => {
    // PS3.3 C.11.2.1.2.1, note 2: c 2048, w 4096 maps 0 to 0 and 4095 to 255;
    // note 3: c 2048, w 1 is a threshold; c 0, w 100 and c 0, w 1 likewise.
    const whole = greys({ window: 4096, level: 2048 }, 0);
    expect([whole[0], whole[4095], whole[2047], whole[2048]]).toEqual([0, 255, 127, 128]);
    const threshold = greys({ window: 1, level: 2048 }, 0);
    expect([threshold[2047], threshold[2048]]).toEqual([0, 255]);
    const around = greys({ window: 100, level: 0 }, -32_768);
    const grey = (x: number) => around[x + 32_768];
    expect([grey(-51), grey(-50), grey(-49), grey(48), grey(49), grey(50)]).toEqual([
      0, 0, 3, 252, 255, 255,
    ]);
  });

  it('of a grey ramp of 256 values shows 256 greys', () => {
    const { window, level } = contrastOf(1000, 1255, 0);
    const table = greys({ window, level }, 0);
    expect(Array.from(table.subarray(1000, 1256))).toEqual([...Array(256).keys()]);
  });

  it('is chosen so that all but the rarest values are spread', () => {
    const values = Uint16Array.from({ length: 10_000 }, (_, i) => 500 + (i % 1000));
    values[17] = 65_535;
    values[18] = 0;
    const { window, level } = autoContrast(values, -1024);
    const [black, white] = [level - 0.5 - (window - 1) / 2, level - 0.5 + (window - 1) / 2];
    expect(black).toBeGreaterThanOrEqual(500 - 1024);
    expect(black).toBeLessThan(510 - 1024);
    expect(white).toBeGreaterThan(1488 - 1024);
    expect(white).toBeLessThan(1500 - 1024);
    expect(autoContrast(new Uint16Array(9).fill(7), 0)).toEqual({ window: 1, level: 7.5 });
    expect(rangeOf(values)).toEqual({ lowest: 0, highest: 65_535 });
  });
});

describe('on the screen', () => {
  const values = Uint16Array.from([10, 20, 30, 40, 50, 60]);
  const at: SliceAt = {
    rect: { x: -2, y: 5, width: 6, height: 4 },
    columns: 3,
    rows: 2,
    window: 256,
    level: 128,
    offset: 0,
  };
  const ink = inks(greys({ window: 256, level: 128 }, 0));

  it('each value is painted as the nearest pixels, cut to the picture', () => {
    const part = clip(at.rect, { width: 100, height: 100 });
    expect(part).toEqual({ x: 0, y: 5, width: 4, height: 4 });
    if (!part) return;
    const painted = Array.from(paint(at, values, part, ink), (pixel) => pixel & 255);
    expect(painted).toEqual([20, 20, 30, 30, 20, 20, 30, 30, 50, 50, 60, 60, 50, 50, 60, 60]);
    expect(paint(at, values, part, ink)[0]).toBe(0xff141414);
  });

  it('nothing is painted out of the picture', () => {
    expect(clip({ x: 100, y: 0, width: 5, height: 5 }, { width: 100, height: 50 })).toBeNull();
    expect(clip({ x: -5, y: 0, width: 5, height: 5 }, { width: 100, height: 50 })).toBeNull();
  });

  it('the value under the pointer is the stored one with its offset', () => {
    expect(probe(at, values, 0, 5)).toEqual({ column: 1, row: 0, value: 20 });
    expect(probe({ ...at, offset: -1024 }, values, 3, 8)).toEqual({
      column: 2,
      row: 1,
      value: 60 - 1024,
    });
    expect(probe(at, values, 4, 8)).toBeNull();
    expect(probe(at, values, 0, 4)).toBeNull();
  });
});
