/** Bytes as text and back, and messages for tests. */
import { HEADER_BYTES } from '../src/stream/proto';

export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function message(kind: number, flags: number, payload: Uint8Array): ArrayBuffer {
  const out = new Uint8Array(HEADER_BYTES + payload.length);
  out[0] = kind;
  out[1] = flags;
  new DataView(out.buffer).setUint32(4, payload.length, true);
  out.set(payload, HEADER_BYTES);
  return out.buffer;
}

/** A TILES payload with an unpacked body. */
export function tiles(frame: number, ops: readonly number[], pixels: readonly number[] = []) {
  const out = new Uint8Array(12 + 4 + ops.length + pixels.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, frame, true);
  view.setUint32(12, ops.length, true);
  out.set(ops, 16);
  out.set(pixels, 16 + ops.length);
  return out;
}

export interface VideoParts {
  codec?: number;
  key?: boolean;
  goesOn?: boolean;
  x?: number;
  y?: number;
  width?: number;
  height?: number;
  mask?: readonly number[];
  /** A fake bitstream is a colour. */
  colour?: number;
}

/** A VIDEO payload; the fake decoder makes one colour of it. */
export function video(frame: number, parts: VideoParts = {}) {
  const { codec = 1, key = false, goesOn = false, x = 0, y = 0 } = parts;
  const { width = 128, height = 96, mask = [0b1111], colour = 0xff00_ff00 } = parts;
  const out = new Uint8Array(24 + mask.length + 4);
  const view = new DataView(out.buffer);
  view.setUint32(0, frame, true);
  view.setUint8(12, codec);
  view.setUint8(13, (key ? 1 : 0) | (goesOn ? 2 : 0));
  for (const [i, number] of [x, y, width, height, mask.length].entries()) {
    view.setUint16(14 + 2 * i, number, true);
  }
  out.set(mask, 24);
  view.setUint32(24 + mask.length, colour, true);
  return out;
}
