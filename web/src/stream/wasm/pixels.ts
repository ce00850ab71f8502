/**
 * The inner loops of the viewer, in AssemblyScript: predictions undone straight into the picture,
 * and the hashes of its tiles. Addresses come from `pixels.ts`, which checks all bounds.
 */

const OPAQUE: u32 = 0xff00_0000;
/** Edge of a tile, and rows that are undone at once. */
const TILE: i32 = 64;
const LANES: i32 = 16;

/** One plane of sixteen rows, skewed: pixel x of row r is at (x + r) · 16 + r. */
const SKEWED_BYTES: usize = <usize>((TILE + LANES - 1) * LANES);
const FIRST: usize = memory.data(<i32>SKEWED_BYTES, 16);
const SECOND: usize = memory.data(<i32>SKEWED_BYTES, 16);
const THIRD: usize = memory.data(<i32>SKEWED_BYTES, 16);
/** Last row of the sixteen above, of each plane. */
const ABOVE_FIRST: usize = memory.data(TILE, 16);
const ABOVE_SECOND: usize = memory.data(TILE, 16);
const ABOVE_THIRD: usize = memory.data(TILE, 16);
/** A tile at the edge of the picture, or a cut row, in one piece. */
const GATHERED: usize = memory.data(TILE * TILE * 4, 16);

/** One grey plane, predicted by MED, to opaque pixels. */
export function greyMed(
  source: usize,
  out: usize,
  width: i32,
  height: i32,
  stride: usize,
): void {
  memory.fill(ABOVE_FIRST, 0, TILE);
  for (let y = 0; y < height; y += LANES) {
    const rows = min(LANES, height - y);
    skew(source, FIRST, width, rows);
    source += <usize>(width * rows);
    undo(FIRST, ABOVE_FIRST, width, rows);
    for (let r = 0; r < rows; r++) {
      let from = FIRST + <usize>(r * (LANES + 1));
      let to = out;
      for (let x = 0; x < width; x++) {
        store<u32>(to, OPAQUE | (<u32>load<u8>(from) * 0x1_0101));
        from += LANES;
        to += 4;
      }
      out += stride;
    }
  }
}

/** One grey plane as it is, to opaque pixels. */
export function greyPlain(
  source: usize,
  out: usize,
  width: i32,
  height: i32,
  stride: usize,
): void {
  for (let y = 0; y < height; y++) {
    let to = out;
    for (let x = 0; x < width; x++) {
      store<u32>(to, OPAQUE | (<u32>load<u8>(source++) * 0x1_0101));
      to += 4;
    }
    out += stride;
  }
}

/** Planes G, R−G, B−G, each predicted by MED, to opaque pixels. */
export function rgbMed(source: usize, out: usize, width: i32, height: i32, stride: usize): void {
  memory.fill(ABOVE_FIRST, 0, TILE);
  memory.fill(ABOVE_SECOND, 0, TILE);
  memory.fill(ABOVE_THIRD, 0, TILE);
  const plane = <usize>(width * height);
  for (let y = 0; y < height; y += LANES) {
    const rows = min(LANES, height - y);
    skew(source, FIRST, width, rows);
    skew(source + plane, SECOND, width, rows);
    skew(source + 2 * plane, THIRD, width, rows);
    source += <usize>(width * rows);
    undo(FIRST, ABOVE_FIRST, width, rows);
    undo(SECOND, ABOVE_SECOND, width, rows);
    undo(THIRD, ABOVE_THIRD, width, rows);
    for (let r = 0; r < rows; r++) {
      let at = <usize>(r * (LANES + 1));
      let to = out;
      for (let x = 0; x < width; x++) {
        store<u32>(to, colour(load<u8>(FIRST + at), load<u8>(SECOND + at), load<u8>(THIRD + at)));
        at += LANES;
        to += 4;
      }
      out += stride;
    }
  }
}

/** Planes G, R−G, B−G as they are, to opaque pixels. */
export function rgbPlain(
  source: usize,
  out: usize,
  width: i32,
  height: i32,
  stride: usize,
): void {
  const plane = <usize>(width * height);
  for (let y = 0; y < height; y++) {
    let to = out;
    for (let x = 0; x < width; x++) {
      store<u32>(to, colour(load<u8>(source), load<u8>(source + plane), load<u8>(source + 2 * plane)));
      source++;
      to += 4;
    }
    out += stride;
  }
}

/** Indices of so many bits, rows from a new byte each; false: an index beyond the palette. */
export function palette(
  source: usize,
  colours: usize,
  count: u32,
  bits: u32,
  out: usize,
  width: i32,
  height: i32,
  stride: usize,
): bool {
  const mask: u32 = (1 << bits) - 1;
  for (let y = 0; y < height; y++) {
    let to = out;
    let shift: u32 = 0;
    let byte: u32 = 0;
    for (let x = 0; x < width; x++) {
      if (shift == 0) {
        byte = load<u8>(source++);
        shift = 8;
      }
      shift -= bits;
      const index = (byte >> shift) & mask;
      if (index >= count) return false;
      store<u32>(to, load<u32>(colours + (<usize>index << 2)));
      to += 4;
    }
    out += stride;
  }
  return true;
}

/** XXH64, seed 0, over the rows of a rectangle of at most one tile, as if they stood in one piece. */
export function hashRows(from: usize, width: i32, height: i32, stride: usize): u64 {
  const row = <usize>(width * 4);
  if ((row & 31) == 0) return hash(from, row, height, stride);
  // Rows that end within a block of 32 bytes are put together first.
  for (let y: i32 = 0; y < height; y++) {
    memory.copy(GATHERED + <usize>y * row, from, row);
    from += stride;
  }
  return hash(GATHERED, row * <usize>height, 1, 0);
}

/** XXH64, seed 0, of bytes in one piece. */
export function hashBytes(from: usize, bytes: usize): u64 {
  return hash(from, bytes, 1, 0);
}

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

/** Of several rows only the last may be no multiple of 32 bytes. */
// @ts-ignore: decorator
@inline
function hash(from: usize, row: usize, rows: i32, stride: usize): u64 {
  const bytes: u64 = <u64>row * <u64>rows;
  let at = from;
  let h: u64;
  if (bytes >= 32) {
    let a: u64 = P1 + P2;
    let b: u64 = P2;
    let c: u64 = 0;
    let d: u64 = 0 - P1;
    for (let y = 0; y < rows; y++) {
      at = from;
      for (const end = from + (row & ~31); at < end; at += 32) {
        a = round(a, load<u64>(at));
        b = round(b, load<u64>(at, 8));
        c = round(c, load<u64>(at, 16));
        d = round(d, load<u64>(at, 24));
      }
      from += stride;
    }
    h = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    h = merge(h, a);
    h = merge(h, b);
    h = merge(h, c);
    h = merge(h, d);
  } else {
    h = P5;
  }
  h += bytes;
  let left = row & 31;
  for (; left >= 8; left -= 8, at += 8) {
    h ^= round(0, load<u64>(at));
    h = rotl<u64>(h, 27) * P1 + P4;
  }
  if (left >= 4) {
    h ^= <u64>load<u32>(at) * P1;
    h = rotl<u64>(h, 23) * P2 + P3;
    at += 4;
    left -= 4;
  }
  for (; left > 0; left--, at++) {
    h ^= <u64>load<u8>(at) * P5;
    h = rotl<u64>(h, 11) * P1;
  }
  h ^= h >> 33;
  h *= P2;
  h ^= h >> 29;
  h *= P3;
  return h ^ (h >> 32);
}

// @ts-ignore: decorator
@inline
function round(sum: u64, lane: u64): u64 {
  return rotl<u64>(sum + lane * P2, 31) * P1;
}

// @ts-ignore: decorator
@inline
function merge(h: u64, sum: u64): u64 {
  return (h ^ round(0, sum)) * P1 + P4;
}

// @ts-ignore: decorator
@inline
function colour(green: u32, red: u32, blue: u32): u32 {
  return OPAQUE | (((blue + green) & 255) << 16) | (green << 8) | ((red + green) & 255);
}

/** Puts rows in the order in which they are undone. */
// @ts-ignore: decorator
@inline
function skew(source: usize, out: usize, width: i32, rows: i32): void {
  const whole = width & ~3;
  for (let r = 0; r < rows; r++) {
    let to = out + <usize>(r * (LANES + 1));
    let x = 0;
    for (; x < whole; x += 4) {
      const four = load<u32>(source);
      store<u8>(to, four);
      store<u8>(to, four >> 8, 16);
      store<u8>(to, four >> 16, 32);
      store<u8>(to, four >> 24, 48);
      to += 64;
      source += 4;
    }
    for (; x < width; x++) {
      store<u8>(to, load<u8>(source++));
      to += LANES;
    }
  }
}

/**
 * Undoes MED for sixteen rows at once, each one pixel behind the row above it: then what a pixel
 * needs (left, above, above left) is there for all rows at the same time.
 *
 * MED is the middle of `a`, `b` and `a + b − c`: with the lesser and the greater of a and b it is
 * `lesser + (greater − c)`, where c is taken as within the two.
 *
 * A row that has not begun has zeros on its left and in its corner, as it should: nothing but zeros is
 * ever written to the places before a row's first pixel.
 */
// @ts-ignore: decorator
@inline
function undo(plane: usize, above: usize, width: i32, rows: i32): void {
  let left = i8x16.splat(0);
  let corner = i8x16.splat(0);
  const steps = width + rows - 1;
  for (let t = 0; t < steps; t++) {
    const upper = i8x16.replace_lane(
      shift(left),
      0,
      t < width ? load<i8>(above + <usize>t) : 0,
    );
    const lesser = v128.min<u8>(left, upper);
    const greater = v128.max<u8>(left, upper);
    const more = v128.sub_sat<u8>(greater, v128.max<u8>(corner, lesser));
    const at = plane + <usize>(t * LANES);
    const residual = v128.load(at);
    left = v128.add<u8>(v128.add<u8>(lesser, more), residual);
    v128.store(at, left);
    corner = upper;
  }
  if (rows == LANES) {
    let from = plane + <usize>((LANES - 1) * (LANES + 1));
    for (let x: usize = 0; x < <usize>width; x++) {
      store<u8>(above + x, load<u8>(from));
      from += LANES;
    }
  }
}

/** Each row gets what the row above it had. */
// @ts-ignore: decorator
@inline
function shift(rows: v128): v128 {
  return i8x16.shuffle(rows, rows, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
}
