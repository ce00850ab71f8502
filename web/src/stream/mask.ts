/** Which tiles of a video frame may be painted. */
import { Grid, type Rect } from './grid';
import type { VideoHead } from './proto';

export interface Mask {
  /** What they cover, counted from the frame's corner. */
  readonly rects: Rect[];
  /** The smallest rectangle around all of them; null: none may be painted. */
  readonly area: Rect | null;
}

export function maskOf({ width, height, mask }: VideoHead): Mask {
  const grid = new Grid(width, height);
  const own: number[] = [];
  for (let tile = 0; tile < grid.tiles; tile++) {
    if (((mask[tile >> 3] ?? 0) >> (tile & 7)) & 1) own.push(tile);
  }
  const rects = grid.merge(own);
  return { rects, area: around(rects) };
}

function around(rects: readonly Rect[]): Rect | null {
  if (rects.length === 0) return null;
  const x = Math.min(...rects.map((rect) => rect.x));
  const y = Math.min(...rects.map((rect) => rect.y));
  const right = Math.max(...rects.map((rect) => rect.x + rect.width));
  const lower = Math.max(...rects.map((rect) => rect.y + rect.height));
  return { x, y, width: right - x, height: lower - y };
}
