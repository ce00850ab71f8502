/**
 * Pictures that come as video: puts bitstreams together, decodes them, and says when each is ready
 * or will never be. Nothing here touches the held picture: video is shown, not held.
 *
 * ```text
 *   receive ──▶ waiting ──at most 8──▶ in the decoder ──▶ being copied ──▶ ready ──▶ painted
 *                  └──────── no decoder, no key frame, error, silence ───▶ skipped
 * ```
 */
import { maskOf } from './mask';
import {
  BITSTREAM_BYTES_MAX,
  Flag,
  type Message,
  ProtocolError,
  readVideo,
  type VideoCodec,
  type VideoHead,
} from './proto';
import type { DecodedFrame, Prepared, Surface } from './surface';

/** The part of a `VideoDecoder` that is used. */
export interface Decoder {
  configure(config: VideoDecoderConfig): void;
  decode(chunk: Chunk): void;
  close(): void;
}

export interface Chunk {
  readonly type: 'key' | 'delta';
  readonly timestamp: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

export interface DecoderEvents {
  output(frame: DecodedFrame): void;
  error(error: Error): void;
}

/** The browser's decoders. */
export interface Codecs {
  /** Those found to work; the rest is refused. */
  decodes(): readonly VideoCodec[];
  open(events: DecoderEvents): Decoder;
  /** How to set up a decoder for a bitstream that begins with this key frame. */
  config(codec: VideoCodec, key: Uint8Array, head: VideoHead): VideoDecoderConfig;
}

/** One picture on its way from the socket to the canvas. */
export interface VideoFrameJob {
  readonly head: VideoHead;
  readonly state: 'waiting' | 'decoding' | 'ready' | 'skipped';
  readonly prepared: Prepared | null;
  /** Work of decoding and copying, without the time that it waited for others. */
  readonly decodeMs: number;
}

interface Job {
  head: VideoHead;
  bitstream: Uint8Array<ArrayBuffer>;
  state: VideoFrameJob['state'];
  prepared: Prepared | null;
  decodeMs: number;
  /** When the decoder got it. */
  fedAt: number;
  /** The decoder has given it. */
  isOut: boolean;
}

/** Pictures in the decoder, or decoded and not yet painted: more only take memory. */
const DECODING_MAX = 8;
/** The agent waits for acknowledgements long before so many wait here. */
const WAITING_MAX = 64;
const WAITING_BYTES_MAX = 64 << 20;
/** A decoder that gives nothing for so long holds frames back, or is dead. */
const SILENCE_MS = 500;
/** A timer later than this shows that the whole thread stood still, not the decoder. */
const LATE_MS = 100;

export class VideoPath {
  readonly #codecs: Codecs;
  readonly #surface: Surface;
  readonly #host: { now(): number; later(ms: number, run: () => void): () => void };
  readonly #events: { failed(codec: VideoCodec): void; lost(): void; ready(): void };

  #parts: { head: VideoHead; pieces: Uint8Array[]; bytes: number } | null = null;
  #waiting: Job[] = [];
  #waitingBytes = 0;
  /** In the decoder or being copied, in order. */
  #decoding: Job[] = [];
  /** Pictures that are ready and wait to be painted. */
  readonly #ready = new Set<VideoFrameJob>();
  #open: { decoder: Decoder; codec: VideoCodec; key: string } | null = null;
  /** Frames cannot be decoded until one comes that stands alone. */
  #needsKey = true;
  #askedForKey = false;
  readonly #failed = new Set<VideoCodec>();
  #timestamp = 0;
  /** By timestamp. */
  readonly #jobs = new Map<number, Job>();
  #heardAt = 0;
  #cancelWatch: (() => void) | null = null;

  constructor(
    parts: {
      codecs: Codecs;
      surface: Surface;
      host: { now(): number; later(ms: number, run: () => void): () => void };
    },
    events: { failed(codec: VideoCodec): void; lost(): void; ready(): void },
  ) {
    this.#codecs = parts.codecs;
    this.#surface = parts.surface;
    this.#host = parts.host;
    this.#events = events;
  }

  /** Between two messages of one picture. */
  get isWithin(): boolean {
    return this.#parts !== null;
  }

  /** Takes one message; gives the picture when it is whole. */
  receive({ payload, flags }: Message): VideoFrameJob | null {
    const { head, bitstream } = readVideo(payload);
    if (head.goesOn === ((flags & Flag.Last) !== 0))
      throw new ProtocolError('video without an end');
    const parts = (this.#parts ??= { head, pieces: [], bytes: 0 });
    if (!isSame(parts.head, head)) throw new ProtocolError('parts of different pictures');
    parts.bytes += bitstream.length;
    if (parts.bytes > BITSTREAM_BYTES_MAX) throw new ProtocolError('picture too long');
    parts.pieces.push(bitstream);
    if (head.goesOn) return null;
    this.#parts = null;
    const job: Job = {
      head: parts.head,
      bitstream: join(parts.pieces, parts.bytes),
      state: 'waiting',
      prepared: null,
      decodeMs: 0,
      fedAt: 0,
      isOut: false,
    };
    this.#take(job);
    return job;
  }

  /** A picture was painted, or will not be. */
  release(job: VideoFrameJob): void {
    if (this.#ready.delete(job)) this.#feed();
  }

  /** Nothing that is on its way will be painted: a new stream, or none. */
  restart(): void {
    this.#parts = null;
    this.#close();
    for (const job of [...this.#decoding, ...this.#waiting]) skip(job);
    for (const job of this.#ready) job.prepared?.drop();
    this.#ready.clear();
    this.#forget();
    this.#failed.clear();
  }

  #take(job: Job): void {
    const { codec } = job.head;
    if (codec === null || this.#failed.has(codec)) {
      skip(job);
      return;
    }
    if (!this.#codecs.decodes().includes(codec)) {
      skip(job);
      this.#fail(codec);
      return;
    }
    this.#waiting.push(job);
    this.#waitingBytes += job.bitstream.length;
    if (this.#waiting.length > WAITING_MAX || this.#waitingBytes > WAITING_BYTES_MAX) {
      throw new ProtocolError('more video than was acknowledged');
    }
    this.#feed();
  }

  #feed(): void {
    while (this.#waiting.length > 0 && this.#decoding.length + this.#ready.size < DECODING_MAX) {
      const job = this.#waiting.shift();
      if (!job) return;
      this.#waitingBytes -= job.bitstream.length;
      this.#decode(job);
    }
  }

  #decode(job: Job): void {
    const { head, bitstream } = job;
    const codec = head.codec;
    if (codec === null) return;
    try {
      if (head.isKey) this.#configure(codec, job);
      if (!this.#open || this.#open.codec !== codec || (this.#needsKey && !head.isKey)) {
        skip(job);
        if (!this.#askedForKey) this.#events.lost();
        this.#askedForKey = true;
        return;
      }
      this.#needsKey = this.#askedForKey = false;
      const timestamp = this.#timestamp++;
      job.state = 'decoding';
      job.fedAt = this.#host.now();
      if (this.#decoding.length === 0) this.#heardAt = job.fedAt;
      this.#decoding.push(job);
      this.#jobs.set(timestamp, job);
      this.#open.decoder.decode({ type: head.isKey ? 'key' : 'delta', timestamp, data: bitstream });
      this.#watch();
    } catch (error) {
      console.warn('Video cannot be decoded:', error);
      skip(job);
      this.#fail(codec);
    }
  }

  /** A decoder of its own for each codec and size. */
  #configure(codec: VideoCodec, job: Job): void {
    const config = this.#codecs.config(codec, job.bitstream, job.head);
    const key = JSON.stringify([codec, config]);
    if (this.#open?.key === key) return;
    if (this.#open?.codec === codec) {
      this.#open.decoder.configure(config);
      this.#open.key = key;
      return;
    }
    // What is still in the other decoder is waited for by nobody: a key frame replaces it.
    this.#close();
    for (const old of this.#decoding) skip(old);
    this.#decoding = [];
    this.#jobs.clear();
    const decoder = this.#codecs.open({
      output: (frame) => {
        if (this.#open?.decoder === decoder) this.#output(frame);
        else frame.close();
      },
      error: (error) => {
        if (this.#open?.decoder === decoder) this.#broke(codec, error);
      },
    });
    this.#open = { decoder, codec, key };
    decoder.configure(config);
  }

  #output(frame: DecodedFrame): void {
    const job = this.#jobs.get(frame.timestamp);
    const now = this.#host.now();
    if (!job) {
      frame.close();
      return;
    }
    this.#jobs.delete(frame.timestamp);
    job.isOut = true;
    job.decodeMs += now - Math.max(job.fedAt, this.#heardAt);
    this.#heardAt = now;
    // Pictures come in order: one before this that did not come never will.
    for (const earlier of this.#decoding.slice(0, this.#decoding.indexOf(job))) {
      if (!earlier.isOut) skip(earlier);
    }
    const { width, height } = job.head;
    const seen = frame.visibleRect;
    if (!seen || seen.width < width || seen.height < height) {
      frame.close();
      console.warn('The decoded picture is smaller than was said');
      if (job.head.codec) this.#fail(job.head.codec);
      return;
    }
    const { area } = maskOf(job.head);
    if (!area) {
      frame.close();
      this.#isReady(job, null, now);
      return;
    }
    this.#surface.prepare(frame, area).then(
      (prepared) => {
        if (job.state !== 'decoding') prepared.drop();
        else this.#isReady(job, prepared, now);
      },
      (error: unknown) => {
        if (job.state !== 'decoding') return;
        console.warn('Video cannot be painted:', error);
        if (job.head.codec) this.#fail(job.head.codec);
      },
    );
  }

  #isReady(job: Job, prepared: Prepared | null, from: number): void {
    const now = this.#host.now();
    job.decodeMs += now - Math.max(from, this.#heardAt);
    this.#heardAt = now;
    job.state = 'ready';
    job.prepared = prepared;
    this.#ready.add(job);
    this.#decoding = this.#decoding.filter((other) => other.state === 'decoding');
    this.#feed();
    this.#events.ready();
  }

  #broke(codec: VideoCodec, error: Error): void {
    console.warn('The video decoder failed:', error.message);
    // A browser takes decoders from pages that nobody looks at. That is no fault of the codec.
    if (error.name === 'QuotaExceededError') this.#lose();
    else this.#fail(codec);
  }

  /** The reference is gone; the next frame that can be shown stands alone. */
  #lose(): void {
    this.#close();
    for (const job of this.#decoding) skip(job);
    this.#decoding = [];
    this.#jobs.clear();
    this.#needsKey = true;
    this.#askedForKey = false;
    this.#events.ready();
  }

  /** No more of this codec on this stream. */
  #fail(codec: VideoCodec): void {
    if (this.#failed.has(codec)) return;
    this.#failed.add(codec);
    for (const job of this.#waiting) if (job.head.codec === codec) skip(job);
    this.#waiting = this.#waiting.filter((job) => job.state === 'waiting');
    this.#waitingBytes = this.#waiting.reduce((sum, job) => sum + job.bitstream.length, 0);
    if (this.#open?.codec === codec) {
      this.#close();
      for (const job of this.#decoding) skip(job);
      this.#decoding = [];
      this.#jobs.clear();
      this.#needsKey = true;
      this.#askedForKey = false;
    }
    this.#events.failed(codec);
    this.#feed();
    this.#events.ready();
  }

  #watch(afterMs = SILENCE_MS): void {
    if (this.#cancelWatch) return;
    const due = this.#host.now() + afterMs;
    this.#cancelWatch = this.#host.later(afterMs, () => {
      this.#cancelWatch = null;
      const first = this.#decoding[0];
      if (!first) return;
      const now = this.#host.now();
      const silence = now - Math.max(this.#heardAt, first.fedAt);
      if (now - due > LATE_MS) this.#watch();
      else if (silence < SILENCE_MS) this.#watch(SILENCE_MS - silence);
      else if (first.head.codec) {
        console.warn('The video decoder gives nothing');
        this.#fail(first.head.codec);
      }
    });
  }

  #close(): void {
    const open = this.#open;
    this.#open = null;
    try {
      open?.decoder.close();
    } catch {
      // It closed itself when it failed.
    }
  }

  #forget(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#decoding = [];
    this.#jobs.clear();
    this.#needsKey = true;
    this.#askedForKey = false;
    this.#cancelWatch?.();
    this.#cancelWatch = null;
  }
}

function skip(job: Job): void {
  job.state = 'skipped';
  job.prepared?.drop();
  job.prepared = null;
}

function isSame(a: VideoHead, b: VideoHead): boolean {
  return (
    a.frame === b.frame &&
    a.codec === b.codec &&
    a.x === b.x &&
    a.y === b.y &&
    a.width === b.width &&
    a.height === b.height
  );
}

function join(pieces: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const [first] = pieces;
  if (first && pieces.length === 1) return first as Uint8Array<ArrayBuffer>;
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
