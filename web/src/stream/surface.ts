/** Where a picture is shown: what the core asks of a canvas, wherever that is. */
import type { Rect } from './grid';
import type { Picture, Pixels } from './picture';

export interface Surface {
  /** Takes the picture's size; what was shown is gone. */
  resize(picture: Picture): void;
  draw(picture: Picture, tiles: Iterable<number>): void;
  /** Gets a part of a decoded picture ready to be painted, and closes it as soon as it can. */
  prepare(frame: DecodedFrame, area: Rect): Promise<Prepared>;
  /**
   * Paints rectangles of a decoded picture (counted from its corner) whose corner is at (x, y); it
   * is used up then.
   */
  paint(prepared: Prepared, x: number, y: number, rects: readonly Rect[]): void;
  /** Runs once all that was asked for is on the canvas, with the time it took to draw. */
  done(run: (drawMs: number) => void): void;
  /** What is really shown there, after all that was asked for before. */
  read(area: Rect): Promise<Pixels>;
}

/** The part of a `VideoFrame` that is used. */
export interface DecodedFrame {
  readonly timestamp: number;
  readonly visibleRect: { x: number; y: number; width: number; height: number } | null;
  copyTo(out: Uint8Array<ArrayBuffer>, options?: VideoFrameCopyToOptions): Promise<unknown>;
  close(): void;
}

/** A decoded picture, ready to be painted. Who does not paint it must drop it. */
export interface Prepared {
  /** The part that is ready, counted from the picture's corner. */
  readonly area: Rect;
  /** Red, green, blue and one byte of anything; null where the browser draws the frame itself. */
  readonly buffer: ArrayBuffer | null;
  readonly frame: DecodedFrame | null;
  drop(): void;
}

/** How decoded pictures reach the canvas; the cheaper one is found at start. */
export type FrameWay = 'copy' | 'image';

/** Pixels of one size after another: memory that is used again costs far less than new. */
export class Buffers {
  /** A few frames are on their way at a time. */
  static readonly KEPT_MAX = 6;
  #free: ArrayBuffer[] = [];

  take(bytes: number): ArrayBuffer {
    // The smallest that will do: the large ones are for whole pictures.
    const enough = this.#free.filter((buffer) => buffer.byteLength >= bytes);
    enough.sort((a, b) => a.byteLength - b.byteLength);
    const [found] = enough;
    if (found) this.#free = this.#free.filter((buffer) => buffer !== found);
    else if (this.#free.length === Buffers.KEPT_MAX) this.#free.shift();
    return found ?? new ArrayBuffer(bytes);
  }

  give(buffer: ArrayBuffer): void {
    if (buffer.byteLength > 0 && this.#free.length < Buffers.KEPT_MAX) this.#free.push(buffer);
  }
}

const PIXEL_BYTES = 4;

/** Gets a part of a decoded picture ready in the way that was found best. */
export async function prepare(
  frame: DecodedFrame,
  wanted: Rect,
  way: FrameWay,
  buffers: Buffers,
): Promise<Prepared> {
  let area: Rect;
  try {
    area = copied(frame, wanted);
  } catch (error) {
    frame.close();
    throw error;
  }
  if (way === 'image') {
    const close = () => {
      frame.close();
    };
    return { area, buffer: null, frame, drop: close };
  }
  const buffer = buffers.take(area.width * area.height * PIXEL_BYTES);
  try {
    await copyFrame(frame, area, buffer);
  } catch (error) {
    buffers.give(buffer);
    throw error;
  } finally {
    frame.close();
  }
  const drop = () => {
    buffers.give(buffer);
  };
  return { area, buffer, frame: null, drop };
}

/** Browsers copy whole pairs of pixels, where colour has half the resolution. */
function copied({ visibleRect: seen }: DecodedFrame, { x, y, width, height }: Rect): Rect {
  if (!seen || seen.width < x + width || seen.height < y + height) {
    throw new RangeError('the decoded picture is smaller than was said');
  }
  return {
    x,
    y,
    width: Math.min(seen.width - x, width + (width & 1)),
    height: Math.min(seen.height - y, height + (height & 1)),
  };
}

async function copyFrame(frame: DecodedFrame, area: Rect, buffer: ArrayBuffer): Promise<void> {
  const { width, height } = area;
  const corner = frame.visibleRect ?? { x: 0, y: 0 };
  const options: VideoFrameCopyToOptions = {
    rect: { x: corner.x + area.x, y: corner.y + area.y, width, height },
    layout: [{ offset: 0, stride: width * PIXEL_BYTES }],
    // Both are of newer browsers; the probe shows whether this one knows them.
    format: 'RGBX',
    colorSpace: 'srgb',
  };
  await frame.copyTo(new Uint8Array(buffer, 0, width * height * PIXEL_BYTES), options);
}
