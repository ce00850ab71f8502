/** Draws on a 2D canvas at hand, one canvas pixel for each pixel of the desktop. */
import type { Rect } from './grid';
import type { Picture, Pixels } from './picture';
import {
  Buffers,
  type DecodedFrame,
  type FrameWay,
  prepare,
  type Prepared,
  type Surface,
} from './surface';

export type Canvas = HTMLCanvasElement | OffscreenCanvas;
export type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

export function contextOf(canvas: Canvas): Context {
  // `willReadFrequently` is false, not left out: reading back in idle moments must not make the
  // browser move the canvas to memory, where every frame would be uploaded whole.
  const settings: CanvasRenderingContext2DSettings = {
    alpha: false,
    colorSpace: 'srgb',
    willReadFrequently: false,
  };
  const context = canvas.getContext('2d', settings);
  if (!context) throw new Error('this browser gives no 2D canvas');
  return context;
}

/** On the page without a worker, or in a worker that was given the canvas. */
export class CanvasSurface implements Surface {
  readonly #canvas: Canvas;
  readonly #context: Context;
  readonly #way: () => FrameWay;
  readonly #now: () => number;
  readonly #buffers = new Buffers();
  #image: ImageData | null = null;
  #drawMs = 0;

  constructor(canvas: Canvas, way: () => FrameWay, now: () => number) {
    this.#context = contextOf(canvas);
    this.#canvas = canvas;
    this.#way = way;
    this.#now = now;
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
    const from = this.#now();
    for (const { x, y, width, height } of picture.grid.merge(tiles)) {
      this.#context.putImageData(image, 0, 0, x, y, width, height);
    }
    this.#drawMs += this.#now() - from;
  }

  prepare(frame: DecodedFrame, area: Rect): Promise<Prepared> {
    return prepare(frame, area, this.#way(), this.#buffers);
  }

  paint(prepared: Prepared, x: number, y: number, rects: readonly Rect[]): void {
    const from = this.#now();
    const { buffer, frame, area } = prepared;
    if (frame) paintFrame(this.#context, frame as VideoFrame, x, y, rects);
    else if (buffer) {
      const parts = rects.map((rect) => ({ ...rect, x: rect.x - area.x, y: rect.y - area.y }));
      const at = { ...area, x: x + area.x, y: y + area.y };
      putParts(this.#context, buffer, 0, at, parts);
    }
    prepared.drop();
    this.#drawMs += this.#now() - from;
  }

  done(run: (drawMs: number) => void): void {
    const drawMs = this.#drawMs;
    this.#drawMs = 0;
    run(drawMs);
  }

  read({ x, y, width, height }: Rect): Promise<Pixels> {
    return Promise.resolve(this.#context.getImageData(x, y, width, height, { colorSpace: 'srgb' }));
  }
}

/** Puts pixels that belong at `area`, or only `parts` of them (counted from its corner). */
export function putParts(
  context: Context,
  buffer: ArrayBuffer,
  offset: number,
  area: Rect,
  parts: readonly Rect[] | null,
): void {
  const { x, y, width, height } = area;
  const bytes = new Uint8ClampedArray(buffer, offset, width * height * 4);
  const image = new ImageData(bytes, width, height, { colorSpace: 'srgb' });
  if (!parts) context.putImageData(image, x, y);
  else {
    for (const part of parts) {
      context.putImageData(image, x, y, part.x, part.y, part.width, part.height);
    }
  }
}

/** Draws parts of a decoded picture whose corner is at (x, y). */
export function paintFrame(
  context: Context,
  frame: CanvasImageSource & { readonly displayWidth: number; readonly displayHeight: number },
  x: number,
  y: number,
  parts: readonly Rect[],
): void {
  context.save();
  context.beginPath();
  for (const part of parts) context.rect(x + part.x, y + part.y, part.width, part.height);
  context.clip();
  context.imageSmoothingEnabled = false;
  context.drawImage(frame, x, y, frame.displayWidth, frame.displayHeight);
  context.restore();
}
