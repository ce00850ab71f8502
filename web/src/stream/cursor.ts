/** The desktop's pointer, shown by the browser itself so that it moves without delay. */
import { ProtocolError } from './proto';

/** Browsers show no larger image as a pointer. */
const CURSOR_EDGE_MAX = 128;

export interface Cursor {
  readonly width: number;
  readonly height: number;
  readonly hotX: number;
  readonly hotY: number;
  /** RGBA, not premultiplied. */
  readonly pixels: Uint8Array;
}

export function readCursor(payload: Uint8Array): Cursor {
  if (payload.length < 8) throw new ProtocolError('pointer message too short');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const width = view.getUint16(0, true);
  const height = view.getUint16(2, true);
  if (payload.length !== 8 + width * height * 4)
    throw new ProtocolError('pointer of a wrong length');
  return {
    width,
    height,
    hotX: Math.min(view.getUint16(4, true), Math.max(0, width - 1)),
    hotY: Math.min(view.getUint16(6, true), Math.max(0, height - 1)),
    pixels: payload.subarray(8),
  };
}

/** Sets the pointer shown over an element. */
export function showCursor(element: HTMLElement, cursor: Cursor, pixelRatio: number): void {
  if (cursor.width === 0 || cursor.height === 0) {
    element.style.cursor = 'none';
    return;
  }
  if (cursor.width > CURSOR_EDGE_MAX || cursor.height > CURSOR_EDGE_MAX) {
    element.style.cursor = 'default';
    return;
  }
  const canvas = document.createElement('canvas');
  canvas.width = cursor.width;
  canvas.height = cursor.height;
  const data = new Uint8ClampedArray(cursor.pixels);
  canvas.getContext('2d')?.putImageData(new ImageData(data, cursor.width, cursor.height), 0, 0);
  const url = canvas.toDataURL();
  const hotX = Math.round(cursor.hotX / pixelRatio);
  const hotY = Math.round(cursor.hotY / pixelRatio);
  // A browser that does not know `image-set` here keeps the first of the two.
  element.style.cursor = `url("${url}") ${cursor.hotX} ${cursor.hotY}, default`;
  if (pixelRatio !== 1) {
    element.style.cursor = `image-set(url("${url}") ${pixelRatio}x) ${hotX} ${hotY}, default`;
  }
}
