/** Messages of the stream: headers, bounds and control types. The words are those of docs/protocol.md. */

export const VERSION = 1;

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

export const Kind = {
  Agent: 0x01,
  Tiles: 0x02,
  Cursor: 0x03,
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
const decoder = new TextDecoder('utf-8', { fatal: true });

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

export type CloseReason =
  | 'logged_out'
  | 'not_allowed'
  | 'desktop_gone'
  | 'ended'
  | 'portal_lost'
  | 'agent_lost'
  | 'viewer_stalled'
  | 'protocol_error'
  | 'gateway_closing';

const CLOSE_REASONS: readonly string[] = [
  'logged_out',
  'not_allowed',
  'desktop_gone',
  'ended',
  'portal_lost',
  'agent_lost',
  'viewer_stalled',
  'protocol_error',
  'gateway_closing',
] satisfies CloseReason[];

export interface GateHello {
  version: number;
  nonce: string;
}

export type GateMessage =
  | { type: 'welcome'; desktop: string; desktop_name: string; user_name: string }
  | { type: 'close'; reason: CloseReason; retry: boolean };

export type AgentMessage =
  | {
      type: 'hello';
      version: number;
      width: number;
      height: number;
      cache_slots: number;
      width_max: number;
      height_max: number;
      layouts: string[];
    }
  | { type: 'resized'; width: number; height: number }
  | { type: 'resize_refused'; width_max: number; height_max: number }
  | { type: 'exact'; frame: number; root: string }
  | { type: 'notice'; code: string };

export type ViewerMessage =
  | { type: 'hello'; version: number; width: number; height: number }
  | { type: 'resize'; width: number; height: number }
  | { type: 'key'; code: string; down: boolean }
  | { type: 'pointer'; x: number; y: number }
  | { type: 'button'; x: number; y: number; button: number; down: boolean }
  | { type: 'wheel'; x: number; y: number; dx: number; dy: number }
  | { type: 'release_all' }
  | { type: 'visible'; visible: boolean }
  | { type: 'repair'; tiles: number[] }
  | { type: 'layout'; name: string };

/** Reads a gateway's message; null for a type this viewer does not know. */
export function readGateMessage(payload: Uint8Array): GateMessage | null {
  const o = new Fields(payload);
  switch (o.text('type')) {
    case 'welcome':
      return {
        type: 'welcome',
        desktop: o.text('desktop'),
        desktop_name: o.text('desktop_name'),
        user_name: o.text('user_name'),
      };
    case 'close': {
      const reason = o.text('reason');
      return {
        type: 'close',
        // A newer gateway may know more reasons; what the viewer does is in `retry`.
        reason: CLOSE_REASONS.includes(reason) ? (reason as CloseReason) : 'agent_lost',
        retry: o.claim('retry'),
      };
    }
    default:
      return null;
  }
}

/** Reads an agent's message; null for a type this viewer does not know. */
export function readAgentMessage(payload: Uint8Array): AgentMessage | null {
  const o = new Fields(payload);
  switch (o.text('type')) {
    case 'hello':
      return {
        type: 'hello',
        version: o.whole('version', 0, 0xffff),
        width: o.whole('width', SIZE_MIN, WIDTH_MAX),
        height: o.whole('height', SIZE_MIN, HEIGHT_MAX),
        cache_slots: o.whole('cache_slots', 0, CACHE_SLOTS_MAX),
        width_max: o.whole('width_max', 0, 0xffff),
        height_max: o.whole('height_max', 0, 0xffff),
        layouts: o.codes('layouts', LAYOUTS_MAX),
      };
    case 'resized':
      return {
        type: 'resized',
        width: o.whole('width', SIZE_MIN, WIDTH_MAX),
        height: o.whole('height', SIZE_MIN, HEIGHT_MAX),
      };
    case 'resize_refused':
      return {
        type: 'resize_refused',
        width_max: o.whole('width_max', 0, 0xffff),
        height_max: o.whole('height_max', 0, 0xffff),
      };
    case 'exact':
      return { type: 'exact', frame: o.whole('frame', 0, 0xffffffff), root: o.text('root') };
    case 'notice': {
      const code = o.text('code');
      return code.length <= CODE_CHARS_MAX ? { type: 'notice', code } : null;
    }
    default:
      return null;
  }
}

/** A JSON object whose fields are checked as they are read. */
class Fields {
  readonly #object: Record<string, unknown>;

  constructor(payload: Uint8Array) {
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(payload));
    } catch {
      throw new ProtocolError('control message is not JSON');
    }
    if (typeof value !== 'object' || value === null) throw new ProtocolError('not an object');
    this.#object = value as Record<string, unknown>;
  }

  text(name: string): string {
    const value = this.#object[name];
    if (typeof value !== 'string') throw new ProtocolError(`${name} is not a text`);
    return value;
  }

  claim(name: string): boolean {
    const value = this.#object[name];
    if (typeof value !== 'boolean') throw new ProtocolError(`${name} is not true or false`);
    return value;
  }

  whole(name: string, min: number, max: number): number {
    const value = this.#object[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw new ProtocolError(`${name} is out of range`);
    }
    return value;
  }

  /** Distinct codes, at most so many; what is none is left out. */
  codes(name: string, max: number): string[] {
    const value = this.#object[name];
    if (!Array.isArray(value)) throw new ProtocolError(`${name} is not a list`);
    const items: unknown[] = value;
    const codes = items.filter(
      (item) => typeof item === 'string' && item.length <= CODE_CHARS_MAX,
    ) as string[];
    return [...new Set(codes)].slice(0, max);
  }
}
