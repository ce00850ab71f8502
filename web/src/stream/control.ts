/** Control messages: JSON objects with a `type`, checked as they are read. */
import {
  CACHE_SLOTS_MAX,
  CODE_CHARS_MAX,
  HEIGHT_MAX,
  LAYOUTS_MAX,
  ProtocolError,
  REGIONS_MAX,
  SIZE_MIN,
  VIDEO_CODECS,
  type VideoCodec,
  WIDTH_MAX,
} from './wire';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** What the user wants while things move. At rest the picture is exact in each of them. */
export type Quality = 'automatic' | 'exact_motion' | 'thin_link';

/** A rectangle of the picture, in pixels. */
export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What keeps the stream from being faster. */
export type Limit = 'nothing' | 'network' | 'encoder' | 'browser';
const LIMITS: readonly string[] = ['nothing', 'network', 'encoder', 'browser'] satisfies Limit[];

/** How the agent sees the stream; means over the last second. */
export interface Status {
  /** `tiles`, or the name of the video encoder at work. */
  readonly encoder: string;
  readonly codec: VideoCodec | null;
  /** Quantiser of the last video frame. */
  readonly qp: number | null;
  /** Part of the picture that moves as video, in tiles. */
  readonly video_tiles: number;
  readonly frames_per_s: number;
  /** What the line is believed to carry; 0: not known yet. */
  readonly line_kbit_per_s: number;
  readonly capture_us: number;
  readonly encode_us: number;
  /** Shortest time lately from sending to acknowledgement. */
  readonly way_us: number;
  /** What frames waited on top of that. */
  readonly queue_us: number;
  readonly limit: Limit;
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
  | {
      type: 'welcome';
      desktop: string;
      desktop_name: string;
      user_name: string;
      /** The messages of this stream are being kept: the viewer must show so. */
      recording: boolean;
    }
  /** The messages are kept from here on, or no more, though the stream goes on. */
  | { type: 'recording'; on: boolean }
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
  | { type: 'notice'; code: string }
  | { type: 'status'; status: Status }
  | { type: 'marked'; regions: Region[] };

export type ViewerMessage =
  | {
      type: 'hello';
      version: number;
      width: number;
      height: number;
      /** What this browser was seen to decode, in right colours, frame by frame. */
      decodes: readonly VideoCodec[];
      quality: Quality;
    }
  | { type: 'resize'; width: number; height: number }
  | { type: 'key'; code: string; down: boolean }
  | { type: 'pointer'; x: number; y: number }
  | { type: 'button'; x: number; y: number; button: number; down: boolean }
  | { type: 'wheel'; x: number; y: number; dx: number; dy: number }
  | { type: 'release_all' }
  | { type: 'visible'; visible: boolean }
  | { type: 'repair'; tiles: number[] }
  | { type: 'layout'; name: string }
  | { type: 'quality'; quality: Quality }
  | { type: 'region'; region: Region | null }
  | { type: 'watch'; on: boolean }
  | { type: 'video_failed'; codec: VideoCodec }
  | { type: 'key_frame' }
  /** A 16-bit picture is whole, with this hash. */
  | { type: 'slice_shown'; place: number; picture: number; hash: string };

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
        recording: o.has('recording') && o.claim('recording'),
      };
    case 'recording':
      return { type: 'recording', on: o.claim('on') };
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
    case 'status':
      return { type: 'status', status: readStatus(o) };
    case 'marked':
      return { type: 'marked', regions: o.regions('regions', REGIONS_MAX) };
    default:
      return null;
  }
}

function readStatus(o: Fields): Status {
  const count = (name: string) => o.whole(name, 0, 0xffffffff);
  const codec = o.has('codec') ? o.text('codec') : null;
  const limit = o.text('limit');
  return {
    encoder: o.text('encoder').slice(0, CODE_CHARS_MAX),
    codec: VIDEO_CODECS.find((known) => known !== null && known === codec) ?? null,
    qp: o.has('qp') ? count('qp') : null,
    video_tiles: count('video_tiles'),
    frames_per_s: count('frames_per_s'),
    line_kbit_per_s: count('line_kbit_per_s'),
    capture_us: count('capture_us'),
    encode_us: count('encode_us'),
    way_us: count('way_us'),
    queue_us: count('queue_us'),
    limit: LIMITS.includes(limit) ? (limit as Limit) : 'nothing',
  };
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
    this.#object = objectOf(value);
  }

  /** Whether it is there, and is not null. */
  has(name: string): boolean {
    return this.#object[name] !== undefined && this.#object[name] !== null;
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
    return wholeOf(this.#object, name, min, max);
  }

  /** Rectangles, at most so many. */
  regions(name: string, max: number): Region[] {
    const value = this.#object[name];
    if (!Array.isArray(value)) throw new ProtocolError(`${name} is not a list`);
    const items: unknown[] = value;
    return items.slice(0, max).map((item) => {
      const of = objectOf(item);
      return {
        x: wholeOf(of, 'x', 0, 0xffff),
        y: wholeOf(of, 'y', 0, 0xffff),
        width: wholeOf(of, 'width', 0, 0xffff),
        height: wholeOf(of, 'height', 0, 0xffff),
      };
    });
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

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new ProtocolError('not an object');
  return value as Record<string, unknown>;
}

function wholeOf(object: Record<string, unknown>, name: string, min: number, max: number): number {
  const value = object[name];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new ProtocolError(`${name} is out of range`);
  }
  return value;
}
