/** A rectangle cut into tiles, numbered row by row; those at the right and lower edge are cropped. */
import { ProtocolError } from './proto';

export const TILE = 64;

/** A rectangle in pixels. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export class Grid {
  readonly columns: number;
  /** Number of tiles. */
  readonly tiles: number;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.columns = Math.ceil(width / TILE);
    this.tiles = this.columns * Math.ceil(height / TILE);
  }

  tileRect(tile: number): Rect {
    if (tile >= this.tiles) throw new ProtocolError('tile outside the picture');
    const x = (tile % this.columns) * TILE;
    const y = Math.floor(tile / this.columns) * TILE;
    return {
      x,
      y,
      width: Math.min(TILE, this.width - x),
      height: Math.min(TILE, this.height - y),
    };
  }

  /** Few rectangles that cover exactly these tiles: runs along a row, joined with equal runs above. */
  merge(tiles: Iterable<number>): Rect[] {
    const sorted = Uint16Array.from(tiles).sort();
    const rects: Rect[] = [];
    /** Rectangles that end in the tile row just above, by their left edge. */
    let above = new Map<number, Rect>();
    let current = new Map<number, Rect>();
    let row = -1;
    for (let i = 0; i < sorted.length;) {
      const first = sorted[i] ?? 0;
      const run = this.tileRect(first);
      const tileRow = Math.floor(first / this.columns);
      let last = first;
      for (i++; sorted[i] === last + 1 && (last + 1) % this.columns !== 0; i++) last++;
      const end = this.tileRect(last);
      run.width = end.x + end.width - run.x;
      if (tileRow !== row) {
        above = tileRow === row + 1 ? current : new Map<number, Rect>();
        current = new Map<number, Rect>();
        row = tileRow;
      }
      const upper = above.get(run.x);
      if (upper?.width === run.width && upper.y + upper.height === tileRow * TILE) {
        upper.height += run.height;
        current.set(run.x, upper);
      } else {
        rects.push(run);
        current.set(run.x, run);
      }
    }
    return rects;
  }
}
