/**
 * The inner loops in WebAssembly, with the memory that they work on: first the body of the message
 * being decoded, behind it the picture. Undoing predictions takes 1 ns a pixel here, 13 in JavaScript.
 */
import { BODY_BYTES_MAX, ProtocolError } from './proto';
import { code } from './wasm/pixels.ts?wasm';

interface Exports {
  memory: WebAssembly.Memory;
  greyMed: Expand;
  greyPlain: Expand;
  rgbMed: Expand;
  rgbPlain: Expand;
  palette(
    source: number,
    colours: number,
    count: number,
    bits: number,
    out: number,
    width: number,
    height: number,
    stride: number,
  ): number;
  hashRows(from: number, width: number, height: number, stride: number): bigint;
  hashBytes(from: number, bytes: number): bigint;
}

type Expand = (source: number, out: number, width: number, height: number, stride: number) => void;

const PAGE_BYTES = 1 << 16;
/** Constants and scratch of the code lie below. */
const COLOURS_AT = 60 << 10;
const INPUT_AT = 64 << 10;
const PICTURE_AT = INPUT_AT + BODY_BYTES_MAX;
const PIXEL_BYTES = 4;

let compiled: Promise<WebAssembly.Module> | null = null;

function compile(): Promise<WebAssembly.Module> {
  compiled ??= WebAssembly.compile(Uint8Array.from(atob(code), (c) => c.charCodeAt(0)));
  return compiled;
}

/** A rectangle of the picture: its first pixel as an index, and its size. */
export interface Span {
  readonly start: number;
  readonly width: number;
  readonly height: number;
}

export class PixelCode {
  readonly #exports: Exports;
  #heap: Uint8Array<ArrayBuffer>;
  /** Pixels in a row of the picture. */
  #stride = 0;

  private constructor(exports: Exports) {
    this.#exports = exports;
    this.#heap = new Uint8Array(exports.memory.buffer);
    this.#reserve(PICTURE_AT);
  }

  static async load(): Promise<PixelCode> {
    const instance = await WebAssembly.instantiate(await compile(), {});
    return new PixelCode(instance.exports as unknown as Exports);
  }

  /** Room for a picture of this size; what was taken before is not valid any more. */
  picture(width: number, height: number): Uint8ClampedArray<ArrayBuffer> {
    const bytes = width * height * PIXEL_BYTES;
    this.#reserve(PICTURE_AT + bytes);
    this.#stride = width;
    return new Uint8ClampedArray(this.#heap.buffer, PICTURE_AT, bytes);
  }

  /** Takes the body of a message; valid until the next one. */
  body(bytes: Uint8Array): Uint8Array {
    if (bytes.length > BODY_BYTES_MAX) throw new ProtocolError('body too long');
    this.#heap.set(bytes, INPUT_AT);
    return this.#heap.subarray(INPUT_AT, INPUT_AT + bytes.length);
  }

  /** Undoes a prediction of one grey plane into the picture. `plane` is a part of the body. */
  grey(predictor: number, plane: Uint8Array, out: Span): void {
    const { greyPlain, greyMed } = this.#exports;
    this.#expand(predictor === 0 ? greyPlain : greyMed, plane, out);
  }

  /** The same for the planes G, R−G and B−G. */
  rgb(predictor: number, planes: Uint8Array, out: Span): void {
    const { rgbPlain, rgbMed } = this.#exports;
    this.#expand(predictor === 0 ? rgbPlain : rgbMed, planes, out);
  }

  /** False: an index beyond the palette. */
  palette(colours: Uint32Array, bits: number, packed: Uint8Array, out: Span): boolean {
    const { buffer, byteOffset, byteLength } = colours;
    this.#heap.set(new Uint8Array(buffer, byteOffset, byteLength), COLOURS_AT);
    return (
      this.#exports.palette(
        packed.byteOffset,
        COLOURS_AT,
        colours.length,
        bits,
        this.#at(out.start),
        out.width,
        out.height,
        this.#stride * PIXEL_BYTES,
      ) !== 0
    );
  }

  /** XXH64 of the pixels of a rectangle no larger than a tile, row by row. */
  hash({ start, width, height }: Span): bigint {
    const hash = this.#exports.hashRows(this.#at(start), width, height, this.#stride * PIXEL_BYTES);
    return BigInt.asUintN(64, hash);
  }

  /** XXH64 of bytes; they take the place of the body. */
  hashOf(bytes: Uint8Array): bigint {
    return BigInt.asUintN(
      64,
      this.#exports.hashBytes(this.body(bytes).byteOffset, bytes.byteLength),
    );
  }

  #expand(expand: Expand, planes: Uint8Array, { start, width, height }: Span): void {
    expand(planes.byteOffset, this.#at(start), width, height, this.#stride * PIXEL_BYTES);
  }

  #at(pixel: number): number {
    return PICTURE_AT + pixel * PIXEL_BYTES;
  }

  #reserve(bytes: number): void {
    const missing = bytes - this.#heap.byteLength;
    if (missing <= 0) return;
    this.#exports.memory.grow(Math.ceil(missing / PAGE_BYTES));
    this.#heap = new Uint8Array(this.#exports.memory.buffer);
  }
}
