/** A recording as a list of messages with their times; see docs/recording.md. */
import { DOWN_BYTES_MAX, HEADER_BYTES, Kind } from '../stream/proto';
import { PlayError, type Source } from './source';

const MAGIC = 'BEAMREC\x01';
const HEAD_BYTES_MAX = 16 << 10;
const RECORD_HEAD_BYTES = 8 + HEADER_BYTES;
const END_BYTES = 128;

/** What the recording is of. */
export interface Head {
  readonly desktopName: string;
  readonly userName: string;
  readonly started: string;
}

export interface Record {
  /** Microseconds since the start. */
  readonly atUs: number;
  /** One whole message of the agent. */
  readonly message: ArrayBuffer;
  /** Where the next one begins. */
  readonly next: number;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

export class Tape {
  readonly #source: Source;
  readonly head: Head;
  /** Where the first record begins. */
  readonly begin: number;
  readonly size: number;
  /** Null: it has no end mark, and may be cut off. */
  readonly durationUs: number | null;

  private constructor(
    source: Source,
    about: { head: Head; begin: number; size: number; durationUs: number | null },
  ) {
    this.#source = source;
    this.head = about.head;
    this.begin = about.begin;
    this.size = about.size;
    this.durationUs = about.durationUs;
  }

  static async open(source: Source): Promise<Tape> {
    const size = await source.size();
    const first = await source.read(0, MAGIC.length + 4);
    if (!first) throw new PlayError('broken', 'shorter than a head');
    const magic = String.fromCharCode(...first.subarray(0, MAGIC.length));
    const length = viewOf(first).getUint32(MAGIC.length, true);
    if (magic !== MAGIC || length > HEAD_BYTES_MAX) throw new PlayError('broken', 'no head');
    const json = await source.read(first.length, length);
    if (!json) throw new PlayError('broken', 'the head is cut off');
    const begin = first.length + length;
    return new Tape(source, {
      head: readHead(json),
      begin,
      size,
      durationUs: await durationOf(source, begin, size),
    });
  }

  /** The record that begins there; null at the end, also where the file was cut off. */
  async record(at: number): Promise<Record | null> {
    const head = await this.#source.read(at, RECORD_HEAD_BYTES);
    if (!head) return null;
    const view = viewOf(head);
    const length = HEADER_BYTES + view.getUint32(12, true);
    if (length > DOWN_BYTES_MAX) throw new PlayError('broken', 'a message too long');
    const message = await this.#source.read(at + 8, length);
    // The gateway's own word: the end.
    if (!message || message[0] === Kind.Gate) return null;
    return { atUs: timeOf(view), message: message.buffer, next: at + 8 + length };
  }
}

/** The last record is as long as any, so it is found from the end. */
async function durationOf(source: Source, begin: number, size: number): Promise<number | null> {
  if (size - END_BYTES < begin) return null;
  const end = await source.read(size - END_BYTES, END_BYTES);
  if (!end) return null;
  const view = viewOf(end);
  const isMark = end[8] === Kind.Gate && view.getUint32(12, true) === END_BYTES - RECORD_HEAD_BYTES;
  return isMark && typeOf(end.subarray(RECORD_HEAD_BYTES)) === 'recording_end'
    ? timeOf(view)
    : null;
}

function timeOf(view: DataView): number {
  return view.getUint32(0, true) + view.getUint32(4, true) * 0x1_0000_0000;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function objectOf(json: Uint8Array): globalThis.Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(json));
    return typeof value === 'object' && value !== null
      ? (value as globalThis.Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function typeOf(json: Uint8Array): unknown {
  return objectOf(json)?.type;
}

function readHead(json: Uint8Array): Head {
  const head = objectOf(json);
  const text = (name: string) => {
    const value = head?.[name];
    if (typeof value !== 'string') throw new PlayError('broken', `the head has no ${name}`);
    return value;
  };
  return {
    desktopName: text('desktop_name'),
    userName: text('user_name'),
    started: text('started'),
  };
}
