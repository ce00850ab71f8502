/** A surface that can be left undrawn while a recording runs fast, and made right afterwards. */
import { type Rect, TILE } from '../stream/grid';
import type { Picture, Pixels } from '../stream/picture';
import type { DecodedFrame, Prepared, Surface } from '../stream/surface';

export class QuietSurface implements Surface {
  readonly #inner: Surface;
  /** Tiles that are held otherwise than drawn; null: everything is drawn at once. */
  #stale: Set<number> | null = null;
  #columns = 0;

  constructor(inner: Surface) {
    this.#inner = inner;
  }

  get isQuiet(): boolean {
    return this.#stale !== null;
  }

  quiet(): void {
    this.#stale ??= new Set();
  }

  /** Draws what was not drawn. */
  loud(picture: Picture): void {
    const stale = [...(this.#stale ?? [])].filter((tile) => tile < picture.tiles);
    this.#stale = null;
    if (stale.length > 0) this.#inner.draw(picture, stale);
  }

  resize(picture: Picture): void {
    this.#columns = picture.columns;
    this.#stale?.clear();
    this.#inner.resize(picture);
  }

  draw(picture: Picture, tiles: Iterable<number>): void {
    if (!this.#stale) this.#inner.draw(picture, tiles);
    else for (const tile of tiles) this.#stale.add(tile);
  }

  prepare(frame: DecodedFrame, area: Rect): Promise<Prepared> {
    return this.#inner.prepare(frame, area);
  }

  /** Video is nowhere held, so it is drawn all the same; and its tiles need no drawing then. */
  paint(prepared: Prepared, x: number, y: number, rects: readonly Rect[]): void {
    for (const rect of this.#stale ? rects : []) {
      const [left, top] = [(x + rect.x) / TILE, (y + rect.y) / TILE];
      const [columns, rows] = [Math.ceil(rect.width / TILE), Math.ceil(rect.height / TILE)];
      for (let row = top; row < top + rows; row++) {
        for (let column = left; column < left + columns; column++) {
          this.#stale?.delete(row * this.#columns + column);
        }
      }
    }
    this.#inner.paint(prepared, x, y, rects);
  }

  done(run: (drawMs: number) => void): void {
    this.#inner.done(run);
  }

  read(area: Rect): Promise<Pixels> {
    return this.#inner.read(area);
  }
}
