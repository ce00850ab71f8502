/** Draws the held picture on a 2D canvas, one canvas pixel for each pixel of the desktop. */
import { type Picture, type Pixels, type Rect, TILE } from './picture';

/** Where a picture is shown, and what it shows. */
export interface Surface {
  /** Takes the picture's size; what was shown is gone. */
  resize(picture: Picture): void;
  draw(picture: Picture, tiles: Iterable<number>): void;
  /** What is really shown there. */
  read(area: Rect): Pixels;
}

export class CanvasSurface implements Surface {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  #image: ImageData | null = null;

  constructor(canvas: HTMLCanvasElement) {
    // `willReadFrequently` is false, not left out: reading back in idle moments must not make the
    // browser move the canvas to memory, where every frame would be uploaded whole.
    const settings: CanvasRenderingContext2DSettings = {
      alpha: false,
      colorSpace: 'srgb',
      willReadFrequently: false,
    };
    const context = canvas.getContext('2d', settings);
    if (!context) throw new Error('this browser gives no 2D canvas');
    this.#canvas = canvas;
    this.#context = context;
  }

  resize(picture: Picture): void {
    this.#canvas.width = picture.width;
    this.#canvas.height = picture.height;
    this.#image = new ImageData(picture.bytes, picture.width, picture.height, {
      colorSpace: 'srgb',
    });
  }

  draw(picture: Picture, tiles: Iterable<number>): void {
    const image = this.#image;
    if (!image) return;
    for (const { x, y, width, height } of mergeTiles(picture, tiles)) {
      this.#context.putImageData(image, 0, 0, x, y, width, height);
    }
  }

  read({ x, y, width, height }: Rect): Pixels {
    return this.#context.getImageData(x, y, width, height, { colorSpace: 'srgb' });
  }
}

/** Few rectangles that cover exactly these tiles: runs along a row, joined with equal runs above. */
export function mergeTiles(picture: Picture, tiles: Iterable<number>): Rect[] {
  const sorted = Uint16Array.from(tiles).sort();
  const rects: Rect[] = [];
  /** Rectangles that end in the tile row just above, by their left edge. */
  let above = new Map<number, Rect>();
  let current = new Map<number, Rect>();
  let row = -1;
  for (let i = 0; i < sorted.length;) {
    const first = sorted[i] ?? 0;
    const run = picture.tileRect(first);
    const tileRow = Math.floor(first / picture.columns);
    let last = first;
    for (i++; sorted[i] === last + 1 && (last + 1) % picture.columns !== 0; i++) last++;
    const end = picture.tileRect(last);
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
