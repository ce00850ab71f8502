/** Puts 16-bit pictures together from `SLICE` messages; see docs/protocol.md. No page, no canvas. */
import xxhash from 'xxhash-wasm';

import { Flag, type Message, ProtocolError } from './proto';
import type { Zstd } from './zstd';

const SLICE_VERSION = 1;
export const SLICE_PLACES = 8;
const EDGE_MAX = 8192;
/** Bytes of values of all pictures together, those on their way included. */
const BYTES_MAX = 384 << 20;
/** What the rows of one message may unpack to. */
const BAND_BYTES_MAX = 1 << 20;
const CONTRAST_MAX = 1e6;
const OFFSET_MAX = 1 << 20;
const PREFIX_BYTES = 8;
const SHOW_BYTES = 44;
const ROWS_BYTES = 9;

const Op = { Show: 0, Rows: 1, Hide: 2 } as const;
const Predictor = { None: 0, Med: 1 } as const;

/** On the desktop's picture, in its pixels; may reach out of it. */
export interface SliceRect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Where and how the program wants its picture shown. */
export interface SliceAt {
  readonly rect: SliceRect;
  readonly columns: number;
  readonly rows: number;
  /** As in DICOM PS3.3 C.11.2.1.2.1, on values with the offset. */
  readonly window: number;
  readonly level: number;
  /** What to add to a stored value to have the one that the program means. */
  readonly offset: number;
}

/** What became other; may be sent from a worker, with the values' buffer handed over. */
export type SliceChange =
  /** A picture is whole, and takes the place of the one before. */
  | {
      readonly kind: 'values';
      readonly place: number;
      readonly at: SliceAt;
      readonly values: Uint16Array<ArrayBuffer>;
      /** They have the hash that the desktop computed. */
      readonly isExact: boolean;
    }
  /** What is on show there is another rectangle or contrast. */
  | { readonly kind: 'move'; readonly place: number; readonly at: SliceAt }
  /** A newer picture is on its way; the one on show stays until it is whole. */
  | { readonly kind: 'coming'; readonly place: number }
  | { readonly kind: 'hide'; readonly place: number };

/** Tells the agent which values are held. */
export interface SliceShown {
  type: 'slice_shown';
  place: number;
  picture: number;
  /** 16 digits. */
  hash: string;
}

export interface SliceSeen {
  readonly frame: number;
  /** The frame ends here and is to be acknowledged, without tiles, in its turn. */
  readonly last: boolean;
  readonly changes: readonly SliceChange[];
  /** To be sent to the agent. */
  readonly shown: SliceShown | null;
}

interface Hasher {
  update(bytes: Uint8Array): unknown;
  digest(): bigint;
}

interface Head {
  readonly picture: number;
  readonly hash: bigint;
  at: SliceAt;
}

interface Coming extends Head {
  readonly values: Uint16Array<ArrayBuffer>;
  readonly hasher: Hasher;
  next: number;
}

interface Held {
  /** Its values belong to whoever shows it. */
  shown: Head | null;
  coming: Coming | null;
}

export class SliceDecoder {
  readonly #zstd: Pick<Zstd, 'unpack'>;
  readonly #hasher: () => Hasher;
  readonly #places: readonly Held[] = Array.from({ length: SLICE_PLACES }, () => ({
    shown: null,
    coming: null,
  }));

  constructor(parts: { zstd: Pick<Zstd, 'unpack'>; hasher: () => Hasher }) {
    this.#zstd = parts.zstd;
    this.#hasher = parts.hasher;
  }

  static async load(zstd: Pick<Zstd, 'unpack'>): Promise<SliceDecoder> {
    const api = await xxhash();
    return new SliceDecoder({ zstd, hasher: () => api.create64() });
  }

  /** Forgets everything: the stream begins anew. */
  restart(): SliceChange[] {
    const changes: SliceChange[] = [];
    for (const [place, held] of this.#places.entries()) {
      if (held.shown || held.coming) changes.push({ kind: 'hide', place });
      held.shown = null;
      held.coming = null;
    }
    return changes;
  }

  /** Takes in one `SLICE` message. */
  receive({ flags, payload }: Message): SliceSeen {
    if (payload.length < PREFIX_BYTES) throw new ProtocolError('slice without its prefix');
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const place = view.getUint8(6);
    const held = this.#places[place];
    if (view.getUint8(4) !== SLICE_VERSION || view.getUint8(7) !== 0) {
      throw new ProtocolError('slice of another version');
    }
    if (!held) throw new ProtocolError('slice at no place');
    const changes: SliceChange[] = [];
    let shown: SliceShown | null = null;
    switch (view.getUint8(5)) {
      case Op.Show:
        changes.push(this.#show(place, held, view));
        break;
      case Op.Rows: {
        const whole = this.#rows(held, view, (flags & Flag.Zstd) !== 0, payload);
        if (whole) {
          const { picture, at, values } = whole;
          const hash = whole.hasher.digest();
          changes.push({ kind: 'values', place, at, values, isExact: hash === whole.hash });
          const text = hash.toString(16).padStart(16, '0');
          shown = { type: 'slice_shown', place, picture, hash: text };
        }
        break;
      }
      case Op.Hide:
        if (payload.length !== PREFIX_BYTES) throw new ProtocolError('slice too long');
        held.shown = null;
        held.coming = null;
        changes.push({ kind: 'hide', place });
        break;
      default:
        throw new ProtocolError('unknown operation on a slice');
    }
    return { frame: view.getUint32(0, true), last: (flags & Flag.Last) !== 0, changes, shown };
  }

  #show(place: number, held: Held, view: DataView): SliceChange {
    if (view.byteLength !== PREFIX_BYTES + SHOW_BYTES) throw new ProtocolError('slice cut short');
    const picture = view.getUint32(8, true);
    const at = readAt(view);
    const hash = view.getBigUint64(44, true);
    const known = [held.coming, held.shown].find((one) => one?.picture === picture);
    if (known) {
      const isSame = known.at.columns === at.columns && known.at.rows === at.rows;
      if (!isSame || known.hash !== hash) throw new ProtocolError('slice became another');
      known.at = at;
      return known === held.shown ? { kind: 'move', place, at } : { kind: 'coming', place };
    }
    const length = at.columns * at.rows;
    if (this.#bytesBut(held) + length * 2 > BYTES_MAX) throw new ProtocolError('slices too large');
    const values = new Uint16Array(length);
    held.coming = { picture, hash, at, values, hasher: this.#hasher(), next: 0 };
    return { kind: 'coming', place };
  }

  /** What all pictures take or will take, but for the one coming there. */
  #bytesBut(there: Held): number {
    let bytes = 0;
    for (const held of this.#places) {
      bytes += bytesOf(held.shown);
      if (held !== there) bytes += bytesOf(held.coming);
    }
    return bytes;
  }

  /** Gives the picture if it is whole now. */
  #rows(held: Held, view: DataView, isPacked: boolean, payload: Uint8Array): Coming | null {
    if (view.byteLength < PREFIX_BYTES + ROWS_BYTES) throw new ProtocolError('slice cut short');
    const { coming } = held;
    const first = view.getUint16(12, true);
    const count = view.getUint16(14, true);
    const predictor = view.getUint8(16);
    if (coming?.picture !== view.getUint32(8, true) || coming.next !== first) {
      throw new ProtocolError('rows of no slice');
    }
    const { columns, rows } = coming.at;
    if (count === 0 || first + count > rows) throw new ProtocolError('rows beyond the slice');
    if (predictor !== Predictor.None && predictor !== Predictor.Med) {
      throw new ProtocolError('unknown predictor');
    }
    const length = count * columns;
    if (length * 2 > BAND_BYTES_MAX) throw new ProtocolError('too many rows');
    const body = payload.subarray(PREFIX_BYTES + ROWS_BYTES);
    const planes = isPacked ? this.#zstd.unpack(body) : body;
    if (planes.length !== length * 2) throw new ProtocolError('rows of another length');
    const band = coming.values.subarray(first * columns, (first + count) * columns);
    if (predictor === Predictor.None) join(planes, band);
    else joinMed(planes, band, coming.values, first, columns);
    // The hash is over little-endian values, as every browser's machine has them.
    coming.hasher.update(new Uint8Array(band.buffer, band.byteOffset, band.byteLength));
    coming.next += count;
    if (coming.next < rows) return null;
    held.shown = { picture: coming.picture, hash: coming.hash, at: coming.at };
    held.coming = null;
    return coming;
  }
}

function bytesOf(head: Head | null): number {
  return head ? head.at.columns * head.at.rows * 2 : 0;
}

function readAt(view: DataView): SliceAt {
  const at: SliceAt = {
    rect: {
      x: view.getInt16(12, true),
      y: view.getInt16(14, true),
      width: view.getUint16(16, true),
      height: view.getUint16(18, true),
    },
    columns: view.getUint16(20, true),
    rows: view.getUint16(22, true),
    window: view.getFloat64(24, true),
    level: view.getFloat64(32, true),
    offset: view.getInt32(40, true),
  };
  const isSize = (edge: number) => edge >= 1 && edge <= EDGE_MAX;
  const isGood =
    at.rect.width > 0 &&
    at.rect.height > 0 &&
    isSize(at.columns) &&
    isSize(at.rows) &&
    at.window >= 1 &&
    at.window <= CONTRAST_MAX &&
    Math.abs(at.level) <= CONTRAST_MAX &&
    Math.abs(at.offset) <= OFFSET_MAX;
  if (!isGood) throw new ProtocolError('slice out of bounds');
  return at;
}

/** High bytes of all values, then low bytes. */
function join(planes: Uint8Array, band: Uint16Array): void {
  const length = band.length;
  for (let i = 0; i < length; i++) {
    band[i] = ((planes[i] ?? 0) << 8) | (planes[length + i] ?? 0);
  }
}

/** The same of differences to what left, above and above left make likely (MED of LOCO-I). */
function joinMed(
  planes: Uint8Array,
  band: Uint16Array,
  values: Uint16Array,
  first: number,
  columns: number,
): void {
  const length = band.length;
  const from = first * columns;
  for (let at = 0; at < length; at += columns) {
    const here = from + at;
    const top = here - columns;
    let left = 0;
    let aboveLeft = 0;
    for (let x = 0; x < columns; x++) {
      const above = top >= 0 ? (values[top + x] ?? 0) : 0;
      const folded = ((planes[at + x] ?? 0) << 8) | (planes[length + at + x] ?? 0);
      const residual = (folded >> 1) ^ -(folded & 1);
      const low = left < above ? left : above;
      const high = left < above ? above : left;
      // Beyond the left edge all is 0, which makes this the value above.
      const guess = aboveLeft >= high ? low : aboveLeft <= low ? high : left + above - aboveLeft;
      left = (guess + residual) & 0xffff;
      values[here + x] = left;
      aboveLeft = above;
    }
  }
}
