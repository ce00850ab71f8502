/** The picture as the viewer holds it: the truth that is drawn, hashed and acknowledged. */
import type { Hash } from './hash';
import { ProtocolError } from './proto';

export const TILE = 64;

/** A rectangle in pixels of the picture. */
export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Slot {
  width: number;
  height: number;
  pixels: Uint32Array;
}

const BLACK = 0xff00_0000;

/** `ImageData`, or what stands for it where there is no browser. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

export class Picture {
  readonly #hash: Hash;
  #width = 0;
  #height = 0;
  #columns = 0;
  #bytes = new Uint8ClampedArray(0);
  /** The same memory, one pixel a number: 0xAABBGGRR on the little-endian machines browsers run on. */
  #pixels = new Uint32Array(0);
  #hashes = new BigUint64Array(0);
  #root: bigint | null = null;
  #slots: (Slot | undefined)[] = [];
  /** One tile's pixels in one piece, for hashing. */
  readonly #gathered = new Uint32Array(TILE * TILE);

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  get width(): number {
    return this.#width;
  }

  get height(): number {
    return this.#height;
  }

  /** Number of tiles. */
  get tiles(): number {
    return this.#hashes.length;
  }

  get columns(): number {
    return this.#columns;
  }

  /** The pixels, for writing; who writes must call `rehash` for the tiles touched. */
  get pixels(): Uint32Array {
    return this.#pixels;
  }

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
    this.#width = width;
    this.#height = height;
    this.#columns = Math.ceil(width / TILE);
    this.#bytes = new Uint8ClampedArray(width * height * 4);
    this.#pixels = new Uint32Array(this.#bytes.buffer).fill(BLACK);
    this.#hashes = new BigUint64Array(this.#columns * Math.ceil(height / TILE));
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

  tileRect(tile: number): Rect {
    if (tile >= this.#hashes.length) throw new ProtocolError('tile outside the picture');
    const x = (tile % this.#columns) * TILE;
    const y = Math.floor(tile / this.#columns) * TILE;
    return {
      x,
      y,
      width: Math.min(TILE, this.#width - x),
      height: Math.min(TILE, this.#height - y),
    };
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
    this.#root ??= this.#hash(new Uint8Array(this.#hashes.buffer));
    return this.#root;
  }

  copy(sx: number, sy: number, dx: number, dy: number, width: number, height: number): void {
    const fits = (x: number, y: number) => x + width <= this.#width && y + height <= this.#height;
    if (!fits(sx, sy) || !fits(dx, dy)) throw new ProtocolError('copy outside the picture');
    const stride = this.#width;
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
    const { width, height } = this.tileRect(tile);
    const held = this.#slots[slot];
    const bytes = width * height;
    const pixels = held?.pixels.length === bytes ? held.pixels : new Uint32Array(bytes);
    this.#gather(tile, pixels);
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
      this.#pixels.set(held.pixels.subarray(from, from + width), (y + row) * this.#width + x);
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
      let held = (area.y + row) * this.#width + area.x;
      for (let column = 0; column < area.width; column++) {
        if (pixels[at++] !== this.#pixels[held++]) return false;
      }
    }
    return true;
  }

  #hashOf(tile: number): bigint {
    const pixels = this.#gather(tile, this.#gathered);
    return this.#hash(new Uint8Array(this.#gathered.buffer, 0, pixels * 4));
  }

  #gather(tile: number, out: Uint32Array): number {
    const { x, y, width, height } = this.tileRect(tile);
    const pixels = this.#pixels;
    let at = 0;
    for (let row = 0; row < height; row++) {
      let from = (y + row) * this.#width + x;
      for (const end = from + width; from < end; from++) out[at++] = pixels[from] ?? 0;
    }
    return at;
  }
}
