/** Messages of the stream: headers, bounds, acknowledgements, heads of video; see docs/protocol.md. */

export const VERSION = 2;

export const HEADER_BYTES = 8;
/** Longest message that may come from agent or gateway, with its header. */
export const DOWN_BYTES_MAX = 1 << 20;
/** What a packed body may unpack to. */
export const BODY_BYTES_MAX = 4 << 20;
export const SIZE_MIN = 64;
export const WIDTH_MAX = 7680;
export const HEIGHT_MAX = 4320;
/** More slots than this would hold more than 128 MiB of tiles. */
export const CACHE_SLOTS_MAX = 8192;
/** A list that a person chooses from is no longer than this. */
export const LAYOUTS_MAX = 64;
/** Codes are short words; nobody reads a longer one. */
export const CODE_CHARS_MAX = 64;
/** More marks than this on one screen mark nothing. */
export const REGIONS_MAX = 8;
/** What one encoded picture may have, in all its messages: 8K without loss has less. */
export const BITSTREAM_BYTES_MAX = 32 << 20;

export const Kind = {
  Agent: 0x01,
  Tiles: 0x02,
  Cursor: 0x03,
  Video: 0x04,
  /** 16-bit grey pictures of programs that hand them over. */
  Slice: 0x05,
  Viewer: 0x11,
  Ack: 0x12,
  GateHello: 0x20,
  Gate: 0x21,
} as const;

export const Flag = { Optional: 1, Last: 2, Zstd: 4 } as const;
const FLAGS_KNOWN = Flag.Optional | Flag.Last | Flag.Zstd;

/** The other side broke the protocol: the stream cannot go on. */
export class ProtocolError extends Error {
  override name = 'ProtocolError';
}

export interface Message {
  readonly kind: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** Takes one binary frame of the WebSocket apart: exactly one message. */
export function readMessage(bytes: ArrayBuffer): Message {
  if (bytes.byteLength < HEADER_BYTES) throw new ProtocolError('message shorter than its header');
  const view = new DataView(bytes);
  const length = view.getUint32(4, true);
  if (view.getUint16(2, true) !== 0) throw new ProtocolError('unknown stream number');
  if (view.getUint8(1) & ~FLAGS_KNOWN) throw new ProtocolError('unknown flag');
  if (length > DOWN_BYTES_MAX - HEADER_BYTES) throw new ProtocolError('message too long');
  if (length !== bytes.byteLength - HEADER_BYTES) throw new ProtocolError('wrong message length');
  return {
    kind: view.getUint8(0),
    flags: view.getUint8(1),
    payload: new Uint8Array(bytes, HEADER_BYTES),
  };
}

export function writeMessage(kind: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(out.buffer);
  view.setUint8(0, kind);
  view.setUint32(4, payload.length, true);
  out.set(payload, HEADER_BYTES);
  return out;
}

const encoder = new TextEncoder();

export function writeJson(kind: number, value: unknown): Uint8Array<ArrayBuffer> {
  return writeMessage(kind, encoder.encode(JSON.stringify(value)));
}

/** Hash of one tile as the viewer holds it. */
export interface TileHash {
  readonly tile: number;
  readonly hash: bigint;
}

export interface Ack {
  readonly frame: number;
  /** Time spent on unpacking, decoding and hashing. */
  readonly decodeUs: number;
  /** Time spent on drawing. */
  readonly shownUs: number;
  readonly tiles: readonly TileHash[];
}

export function writeAck(ack: Ack): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEADER_BYTES + 14 + 10 * ack.tiles.length);
  const view = new DataView(out.buffer);
  view.setUint8(0, Kind.Ack);
  view.setUint32(4, out.length - HEADER_BYTES, true);
  view.setUint32(8, ack.frame, true);
  view.setUint32(12, ack.decodeUs, true);
  view.setUint32(16, ack.shownUs, true);
  view.setUint16(20, ack.tiles.length, true);
  let at = 22;
  for (const { tile, hash } of ack.tiles) {
    view.setUint16(at, tile, true);
    view.setBigUint64(at + 2, hash, true);
    at += 10;
  }
  return out;
}

/** A video bitstream that a browser may be able to decode. */
export type VideoCodec = 'h264' | 'h264_grey' | 'h264_rgb' | 'av1' | 'hevc';

/** In a `VIDEO` message a codec is its place in this list. */
export const VIDEO_CODECS: readonly (VideoCodec | null)[] = [
  null,
  'h264',
  'h264_grey',
  'h264_rgb',
  'av1',
  'hevc',
];

const VIDEO_PREFIX_BYTES = 24;
const VIDEO_KEY = 1;
const VIDEO_GOES_ON = 2;
const TILE_EDGE = 64;

/** What stands before the bitstream of a `VIDEO` message. */
export interface VideoHead {
  readonly frame: number;
  /** Agent's clock when the picture was taken. */
  readonly capturedUs: number;
  /** Null: one that this viewer does not know. */
  readonly codec: VideoCodec | null;
  /** It decodes without any frame before it. */
  readonly isKey: boolean;
  /** The bitstream goes on in the next `VIDEO` message. */
  readonly goesOn: boolean;
  /** Where it is painted; the decoded picture may be larger. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Which tiles of the rectangle it may paint: a bit each, row by row, low bits first. */
  readonly mask: Uint8Array;
}

/** The head and the bitstream behind it. */
export function readVideo(payload: Uint8Array): { head: VideoHead; bitstream: Uint8Array } {
  if (payload.length < VIDEO_PREFIX_BYTES) throw new ProtocolError('video message too short');
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const flags = view.getUint8(13);
  if (flags & ~(VIDEO_KEY | VIDEO_GOES_ON)) throw new ProtocolError('unknown flag of a video');
  const [x, y] = [view.getUint16(14, true), view.getUint16(16, true)];
  const [width, height] = [view.getUint16(18, true), view.getUint16(20, true)];
  if (x % TILE_EDGE !== 0 || y % TILE_EDGE !== 0 || width === 0 || height === 0) {
    throw new ProtocolError('video off the tiles');
  }
  if (x + width > WIDTH_MAX || y + height > HEIGHT_MAX) throw new ProtocolError('video too large');
  const tiles = Math.ceil(width / TILE_EDGE) * Math.ceil(height / TILE_EDGE);
  const maskBytes = view.getUint16(22, true);
  if (maskBytes !== Math.ceil(tiles / 8)) throw new ProtocolError('mask of a wrong length');
  const bitstream = VIDEO_PREFIX_BYTES + maskBytes;
  if (bitstream > payload.length) throw new ProtocolError('video message too short');
  const mask = payload.subarray(VIDEO_PREFIX_BYTES, bitstream);
  if (tiles % 8 !== 0 && (mask[maskBytes - 1] ?? 0) >> (tiles % 8) !== 0) {
    throw new ProtocolError('mask beyond its tiles');
  }
  return {
    head: {
      frame: view.getUint32(0, true),
      capturedUs: view.getUint32(4, true) + view.getUint32(8, true) * 0x1_0000_0000,
      codec: VIDEO_CODECS[view.getUint8(12)] ?? null,
      isKey: (flags & VIDEO_KEY) !== 0,
      goesOn: (flags & VIDEO_GOES_ON) !== 0,
      x,
      y,
      width,
      height,
      mask,
    },
    bitstream: payload.subarray(bitstream),
  };
}
