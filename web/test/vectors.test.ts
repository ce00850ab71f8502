/** The same vectors that the Rust side wrote and reads. */
import { readFileSync } from 'node:fs';

import { beforeAll, describe, expect, it } from 'vitest';

import { hashText } from '../src/stream/hash';
import { Picture } from '../src/stream/picture';
import { PixelCode } from '../src/stream/pixels';
import {
  HEADER_BYTES,
  Kind,
  ProtocolError,
  readAgentMessage,
  readGateMessage,
  readMessage,
  readVideo,
  VIDEO_CODECS,
  writeAck,
} from '../src/stream/proto';
import { TileDecoder } from '../src/stream/tiles';
import { Zstd } from '../src/stream/zstd';
import { bytesOf, hexOf } from './bytes';

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- each file has its own shape
function vectors<T>(name: string): T {
  const url = new URL(`../../crates/beamdesk-proto/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as T;
}

let code: PixelCode;
let zstd: Zstd;

beforeAll(async () => {
  [code, zstd] = await Promise.all([PixelCode.load(), Zstd.load()]);
});

describe('headers', () => {
  const { good, refused } = vectors<{
    good: { hex: string; kind: number; flags: number; len: number }[];
    refused: { hex: string; why: string }[];
  }>('headers');

  it.each(good)('reads $hex', ({ hex, kind, flags, len }) => {
    const whole = new Uint8Array(HEADER_BYTES + len);
    whole.set(bytesOf(hex));
    const message = readMessage(whole.buffer);
    expect([message.kind, message.flags, message.payload.length]).toEqual([kind, flags, len]);
  });

  it.each(refused)('refuses $why', ({ hex }) => {
    const header = bytesOf(hex);
    const claimed = new DataView(header.buffer).getUint32(4, true);
    const whole = new Uint8Array(HEADER_BYTES + Math.min(claimed, 2 << 20));
    whole.set(header);
    expect(() => readMessage(whole.buffer)).toThrow();
  });
});

describe('heads of video', () => {
  interface HeadVector {
    frame: number;
    captured_us: number;
    codec: number;
    is_key: boolean;
    goes_on: boolean;
    x: number;
    y: number;
    width: number;
    height: number;
    mask: string;
    bitstream: string;
    payload: string;
  }
  const { codecs, good, refused } = vectors<{
    codecs: { codec: string; number: number }[];
    good: HeadVector[];
    refused: { payload: string; why: string }[];
  }>('video');

  it('know the same codecs', () => {
    expect(VIDEO_CODECS.flatMap((codec, number) => (codec ? [{ codec, number }] : []))).toEqual(
      codecs,
    );
  });

  it.each(good)('are read: $payload', (vector) => {
    const { head, bitstream } = readVideo(bytesOf(vector.payload));
    expect({ ...head, mask: hexOf(head.mask) }).toEqual({
      frame: vector.frame,
      capturedUs: vector.captured_us,
      codec: VIDEO_CODECS[vector.codec] ?? null,
      isKey: vector.is_key,
      goesOn: vector.goes_on,
      x: vector.x,
      y: vector.y,
      width: vector.width,
      height: vector.height,
      mask: vector.mask,
    });
    expect(hexOf(bitstream)).toBe(vector.bitstream);
  });

  it.each(refused)('are refused: $why', ({ payload }) => {
    expect(() => readVideo(bytesOf(payload))).toThrow(ProtocolError);
  });
});

describe('acknowledgements', () => {
  interface AckVector {
    frame: number;
    decode_us: number;
    shown_us: number;
    tiles: [number, string][];
    payload: string;
  }
  it.each(vectors<AckVector[]>('acks'))('writes $payload', (vector) => {
    const bytes = writeAck({
      frame: vector.frame,
      decodeUs: vector.decode_us,
      shownUs: vector.shown_us,
      tiles: vector.tiles.map(([tile, text]) => ({ tile, hash: BigInt(`0x${text}`) })),
    });
    expect(bytes[0]).toBe(Kind.Ack);
    expect(hexOf(bytes.subarray(HEADER_BYTES))).toBe(vector.payload);
  });
});

describe('control messages', () => {
  const { agent, gate } = vectors<{ agent: object[]; gate: object[] }>('control');
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

  it.each(agent)('reads what an agent says: $type', (message) => {
    const read = readAgentMessage(encode(message));
    const isStatus = read?.type === 'status';
    expect(isStatus ? { type: 'status', ...read.status } : read).toEqual(message);
  });

  it.each(gate)('reads what a gateway says: $type', (message) => {
    expect(readGateMessage(encode(message))).toEqual(message);
  });

  it('passes over types and fields it does not know', () => {
    expect(readAgentMessage(encode({ type: 'of_tomorrow' }))).toBeNull();
    expect(readAgentMessage(encode({ type: 'notice', code: 'a', more: 1 }))).toEqual({
      type: 'notice',
      code: 'a',
    });
  });

  it('leaves out what no person could choose from or read', () => {
    const long = 'x'.repeat(65);
    const many = Array.from({ length: 100 }, (_, index) => `l${index}`);
    const hello = { type: 'hello', version: 1, width: 64, height: 64, cache_slots: 0 };
    const read = readAgentMessage(
      encode({
        ...hello,
        width_max: 64,
        height_max: 64,
        layouts: ['us', 7, long, 'us', null, ...many],
      }),
    );
    expect(read).toMatchObject({ layouts: ['us', ...many.slice(0, 63)] });
    expect(readAgentMessage(encode({ type: 'notice', code: long }))).toBeNull();
  });

  it.each([
    '[]',
    'null',
    '{',
    '{"type":"hello"}',
    '{"type":"resized","width":0,"height":64}',
    '{"type":"resized","width":100000,"height":64}',
    '{"type":"resized","width":64.5,"height":64}',
  ])('refuses %s', (text) => {
    expect(() => readAgentMessage(new TextEncoder().encode(text))).toThrow();
  });
});

describe('hashes', () => {
  const { tiles, roots } = vectors<{
    tiles: { name: string; hash: string }[];
    roots: { root: string; tiles: string[] }[];
  }>('hashes');

  const made: Record<string, () => Uint8Array> = {
    'all black, 64 by 64': () => fill(4096, () => [0, 0, 0]),
    '6 by 2': () => fill(12, () => [10, 20, 30]),
    'pattern, 64 by 64': () => fill(4096, (i) => [i, Math.floor(i / 64), 7 * i]),
  };

  function fill(count: number, colour: (i: number) => number[]): Uint8Array {
    return Uint8Array.from({ length: count * 4 }, (_, at) => {
      return at % 4 === 3 ? 255 : (colour(Math.floor(at / 4))[at % 4] ?? 0) & 255;
    });
  }

  it.each(tiles)('of a tile: $name', ({ name, hash: expected }) => {
    const rgba = made[name]?.();
    expect(rgba && hashText(code.hashOf(rgba))).toBe(expected);
  });

  it.each(roots)('of all tiles: $root', ({ root, tiles: texts }) => {
    const words = BigUint64Array.from(texts, (text) => BigInt(`0x${text}`));
    expect(hashText(code.hashOf(new Uint8Array(words.buffer)))).toBe(root);
  });
});

describe('tiles', () => {
  const script = vectors<{
    width: number;
    height: number;
    cache_slots: number;
    steps: { name: string; frame: number; message: string; tiles: string[]; root: string }[];
  }>('tiles');

  it('gives after every message the picture that the agent drew', () => {
    const picture = new Picture(code);
    picture.restart(script.width, script.height, script.cache_slots);
    const decoder = new TileDecoder(picture, code, zstd);
    for (const step of script.steps) {
      const before = script.steps.indexOf(step);
      const touched = new Set<number>();
      const decoded = decoder.decode(readMessage(bytesOf(step.message).buffer), touched);
      expect(decoded.frame, step.name).toBe(step.frame);
      for (const tile of touched) picture.rehash(tile);
      const hashes = step.tiles.map((_, tile) => hashText(picture.tileHash(tile)));
      expect(hashes, `${before}: ${step.name}`).toEqual(step.tiles);
      expect(hashText(picture.root()), step.name).toBe(step.root);
    }
    expect(script.steps.length).toBeGreaterThan(0);
  });
});
