/** The picture as the viewer holds it: the truth that is drawn, hashed and acknowledged. */
import { Grid, type Rect, TILE } from './grid';
import type { PixelCode, Span } from './pixels';
import { ProtocolError } from './proto';

export { type Rect, TILE };

interface Slot {
  width: number;
  height: number;
  pixels: Uint32Array;
}

/** Everything that was held at some time. */
export interface Kept {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint32Array;
  readonly hashes: BigUint64Array<ArrayBuffer>;
  /** Shared with other times at which a slot held the same. */
  readonly slots: readonly (Slot | undefined)[];
}

const BLACK = 0xff00_0000;

/** `ImageData`, or what stands for it where there is no browser. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

export class Picture {
  readonly #code: PixelCode;
  #grid = new Grid(0, 0);
  #bytes: Uint8ClampedArray<ArrayBuffer> = new Uint8ClampedArray(0);
  /** The same memory, one pixel a number: 0xAABBGGRR on the little-endian machines browsers run on. */
  #pixels = new Uint32Array(0);
  #hashes = new BigUint64Array(0);
  #root: bigint | null = null;
  #slots: (Slot | undefined)[] = [];
  /** Pixels of slots that somebody came to keep: they are not written any more. */
  #kept = new WeakSet<Uint32Array>();

  constructor(code: PixelCode) {
    this.#code = code;
  }

  get width(): number {
    return this.#grid.width;
  }

  get height(): number {
    return this.#grid.height;
  }

  /** Number of tiles. */
  get tiles(): number {
    return this.#grid.tiles;
  }

  get columns(): number {
    return this.#grid.columns;
  }

  /** The pixels, for writing; who writes must call `rehash` for the tiles touched. */
  get pixels(): Uint32Array {
    return this.#pixels;
  }

  /** The same, as bytes; both are new after `resize`. */
  get bytes(): Uint8ClampedArray<ArrayBuffer> {
    return this.#bytes;
  }

  /** A new stream: black picture, empty cache. */
  restart(width: number, height: number, cacheSlots: number): void {
    this.#slots = new Array<Slot | undefined>(cacheSlots);
    this.resize(width, height);
  }

  /** A new size: black picture, the cache is kept. */
  resize(width: number, height: number): void {
    this.#grid = new Grid(width, height);
    this.#bytes = this.#code.picture(width, height);
    this.#pixels = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, width * height);
    this.#pixels.fill(BLACK);
    this.#hashes = new BigUint64Array(this.#grid.tiles);
    // Black tiles differ by size only: whole, right edge, lower edge, corner.
    const known = new Map<string, bigint>();
    for (let tile = 0; tile < this.#hashes.length; tile++) {
      const { width: w, height: h } = this.tileRect(tile);
      const key = `${w}x${h}`;
      let hash = known.get(key);
      if (hash === undefined) known.set(key, (hash = this.#hashOf(tile)));
      this.#hashes[tile] = hash;
    }
    this.#root = null;
  }

  /** All of it, to come back to. */
  keep(): Kept {
    for (const slot of this.#slots) if (slot) this.#kept.add(slot.pixels);
    return {
      width: this.width,
      height: this.height,
      pixels: this.#pixels.slice(),
      hashes: this.#hashes.slice(),
      slots: [...this.#slots],
    };
  }

  /** Holds again what was held then. */
  comeBack(kept: Kept): void {
    this.resize(kept.width, kept.height);
    this.#pixels.set(kept.pixels);
    this.#hashes = kept.hashes.slice();
    this.#slots = [...kept.slots];
    this.#root = null;
  }

  get grid(): Grid {
    return this.#grid;
  }

  tileRect(tile: number): Rect {
    return this.#grid.tileRect(tile);
  }

  tileHash(tile: number): bigint {
    const hash = this.#hashes[tile];
    if (hash === undefined) throw new RangeError('no such tile');
    return hash;
  }

  rehash(tile: number): bigint {
    const hash = this.#hashOf(tile);
    this.#hashes[tile] = hash;
    this.#root = null;
    return hash;
  }

  /** Hash over all tile hashes in order, each as 8 bytes, little-endian. */
  root(): bigint {
    this.#root ??= this.#code.hashOf(new Uint8Array(this.#hashes.buffer));
    return this.#root;
  }

  copy(sx: number, sy: number, dx: number, dy: number, width: number, height: number): void {
    const fits = (x: number, y: number) =>
      x + width <= this.#grid.width && y + height <= this.#grid.height;
    if (!fits(sx, sy) || !fits(dx, dy)) throw new ProtocolError('copy outside the picture');
    const stride = this.#grid.width;
    if (width === stride) {
      this.#pixels.copyWithin(dy * stride, sy * stride, (sy + height) * stride);
      return;
    }
    // Rows are taken in the order that reads each before it is overwritten.
    const down = dy > sy;
    for (let i = 0; i < height; i++) {
      const row = down ? height - 1 - i : i;
      const from = (sy + row) * stride + sx;
      this.#pixels.copyWithin((dy + row) * stride + dx, from, from + width);
    }
  }

  save(tile: number, slot: number): void {
    if (slot >= this.#slots.length) throw new ProtocolError('no such cache slot');
    const { x, y, width, height } = this.tileRect(tile);
    const held = this.#slots[slot];
    const bytes = width * height;
    const isFree = held?.pixels.length === bytes && !this.#kept.has(held.pixels);
    const pixels = isFree ? held.pixels : new Uint32Array(bytes);
    for (let row = 0; row < height; row++) {
      const from = (y + row) * this.#grid.width + x;
      pixels.set(this.#pixels.subarray(from, from + width), row * width);
    }
    this.#slots[slot] = { width, height, pixels };
  }

  load(tile: number, slot: number): void {
    const { x, y, width, height } = this.tileRect(tile);
    const held = this.#slots[slot];
    if (held?.width !== width || held.height !== height) {
      throw new ProtocolError('cache slot is empty or of another size');
    }
    for (let row = 0; row < height; row++) {
      const from = row * width;
      this.#pixels.set(held.pixels.subarray(from, from + width), (y + row) * this.#grid.width + x);
    }
  }

  /** Whether these pixels, read back from the canvas, are those held. */
  equals(area: Rect, seen: Pixels): boolean {
    const pixels = new Uint32Array(
      seen.data.buffer,
      seen.data.byteOffset,
      area.width * area.height,
    );
    let at = 0;
    for (let row = 0; row < area.height; row++) {
      let held = (area.y + row) * this.#grid.width + area.x;
      for (let column = 0; column < area.width; column++) {
        if (pixels[at++] !== this.#pixels[held++]) return false;
      }
    }
    return true;
  }

  /** Where a rectangle lies in `pixels`. */
  span({ x, y, width, height }: Rect): Span {
    return { start: y * this.#grid.width + x, width, height };
  }

  #hashOf(tile: number): bigint {
    return this.#code.hash(this.span(this.tileRect(tile)));
  }
}
