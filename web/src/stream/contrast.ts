/** Window and level: from 16-bit values to grey on a screen. */
import type { SliceAt, SliceRect } from './slices';

/** What a user sees of a picture's values; as in DICOM PS3.3 C.11.2.1.2.1. */
export interface Contrast {
  /** Width of the range of values that is spread from black to white; at least 1. */
  readonly window: number;
  /** Its centre. */
  readonly level: number;
}

const VALUES = 65_536;
/** Part of all values that automatic contrast leaves black, and as many white. */
const TAIL = 0.005;

/**
 * Grey (0 to 255) of each stored value.
 *
 * DICOM's LINEAR function on x = value + offset, with c level and w window:
 * black if x ≤ c − 0.5 − (w−1)/2, white if x > c − 0.5 + (w−1)/2,
 * else ((x − (c − 0.5)) / (w−1) + 0.5) × 255, rounded to the nearest grey.
 */
export function greys({ window, level }: Contrast, offset: number): Uint8Array<ArrayBuffer> {
  const table = new Uint8Array(VALUES);
  const span = window - 1;
  const black = level - 0.5 - span / 2;
  const white = level - 0.5 + span / 2;
  for (let value = 0; value < VALUES; value++) {
    const x = value + offset;
    if (x <= black) continue;
    // Rounded by one division of whole numbers, where level and window are such: exact.
    else table[value] = x > white ? 255 : nearest(255 * (2 * (x - level) + 1 + span), 2 * span);
  }
  return table;
}

function nearest(numerator: number, denominator: number): number {
  return Math.floor((2 * numerator + denominator) / (2 * denominator));
}

/** The same as pixels of a canvas. */
export function inks(table: Uint8Array): Uint32Array<ArrayBuffer> {
  const ink = new Uint32Array(table.length);
  for (let i = 0; i < table.length; i++) ink[i] = 0xff00_0000 | ((table[i] ?? 0) * 0x01_0101);
  return ink;
}

/** Smallest and largest stored value. */
export function rangeOf(values: Uint16Array): { lowest: number; highest: number } {
  let lowest = VALUES - 1;
  let highest = 0;
  // Counted: four times as fast as `of` over a million values.
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return { lowest, highest };
}

/** From black at the first of these values to white at the last. */
export function contrastOf(lowest: number, highest: number, offset: number): Contrast {
  return { window: highest - lowest + 1, level: (lowest + highest) / 2 + 0.5 + offset };
}

/** Spreads all but the rarest values at both ends. */
export function autoContrast(values: Uint16Array, offset: number): Contrast {
  const counts = new Uint32Array(VALUES);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    counts[value] = (counts[value] ?? 0) + 1;
  }
  const tail = Math.floor(values.length * TAIL);
  const first = past(counts, tail, 0, 1);
  const last = past(counts, tail, VALUES - 1, -1);
  return contrastOf(Math.min(first, last), Math.max(first, last), offset);
}

/** The first value, from one end, with more than so many up to it. */
function past(counts: Uint32Array, many: number, from: number, step: 1 | -1): number {
  let seen = 0;
  for (let value = from; ; value += step) {
    seen += counts[value] ?? 0;
    if (seen > many || value + step < 0 || value + step >= VALUES) return value;
  }
}

/** The part of a rectangle that lies in a picture of this size; null if none does. */
export function clip(
  rect: SliceRect,
  size: { readonly width: number; readonly height: number },
): SliceRect | null {
  const x = Math.max(0, rect.x);
  const y = Math.max(0, rect.y);
  const width = Math.min(size.width, rect.x + rect.width) - x;
  const height = Math.min(size.height, rect.y + rect.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

/** Column or row of the picture that a pixel of its rectangle shows: the nearest. */
export function sample(pixel: number, pixels: number, samples: number): number {
  return Math.min(samples - 1, Math.floor(((pixel + 0.5) * samples) / pixels));
}

/** Paints what `part` (of the desktop's picture) shows of a picture. */
export function paint(
  at: SliceAt,
  values: Uint16Array,
  part: SliceRect,
  ink: Uint32Array,
): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(part.width * part.height);
  const columns = Int32Array.from({ length: part.width }, (_, i) =>
    sample(part.x - at.rect.x + i, at.rect.width, at.columns),
  );
  let before = -1;
  for (let y = 0; y < part.height; y++) {
    const row = sample(part.y - at.rect.y + y, at.rect.height, at.rows);
    const to = y * part.width;
    if (row === before) {
      out.copyWithin(to, to - part.width, to);
      continue;
    }
    before = row;
    const from = row * at.columns;
    for (let x = 0; x < part.width; x++) {
      out[to + x] = ink[values[from + (columns[x] ?? 0)] ?? 0] ?? 0;
    }
  }
  return out;
}

/** What a pixel of the desktop's picture shows: the place in the picture, and the true value. */
export function probe(
  at: SliceAt,
  values: Uint16Array,
  x: number,
  y: number,
): { column: number; row: number; value: number } | null {
  const [px, py] = [x - at.rect.x, y - at.rect.y];
  if (px < 0 || py < 0 || px >= at.rect.width || py >= at.rect.height) return null;
  const column = sample(px, at.rect.width, at.columns);
  const row = sample(py, at.rect.height, at.rows);
  return { column, row, value: (values[row * at.columns + column] ?? 0) + at.offset };
}
