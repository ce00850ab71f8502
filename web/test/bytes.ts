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
