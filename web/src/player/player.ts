/**
 * Plays a recording: when which message is due, and how to go elsewhere.
 *
 * ```text
 *   loading ──▶ paused ◀──▶ playing ──▶ ended
 *                 ▲  seek: back to the beginning or to a rest that was kept, then on without drawing
 * ```
 */
import type { Kept } from '../stream/picture';
import { Kind, ProtocolError } from '../stream/proto';
import { type Reel, videoOf } from './reel';
import { PlayError, type Trouble } from './source';
import type { Head, Record, Tape } from './tape';

export interface PlayView {
  readonly head: Head;
  readonly isPlaying: boolean;
  readonly isAtEnd: boolean;
  /** Not null: on the way to another place, so far of it. */
  readonly seeking: number | null;
  readonly positionMs: number;
  readonly durationMs: number;
  readonly speed: number;
  readonly trouble: Trouble | null;
}

export interface PlayHost {
  now(): number;
  later(ms: number, run: () => void): () => void;
}

/** A place to come back to. */
interface Stop {
  readonly at: number;
  readonly atUs: number;
  readonly kept: Kept;
}

/** The decoder has some to work at, and a pause is a pause. */
const FRAMES_MAX = 8;
/** So long at a time without a look at what the user wants. */
const TURN_MS = 12;
/** Behind its time by more, it goes on slower instead of catching up. */
const LATE_MS = 250;
/** Between two places to come back to, at first. */
const STOP_US = 5_000_000;
/** All of them together. */
const STOPS_BYTES_MAX = 256 << 20;

export const SPEEDS = [0.5, 1, 2, 4, 8, 16] as const;

export class Player {
  readonly #tape: Tape;
  readonly #reel: Reel;
  readonly #host: PlayHost;
  readonly #changed: () => void;
  /** The next record, and where it is. */
  #at: number;
  #next: Record | null = null;
  #takenUs = 0;
  #longestUs: number;
  #isAtEnd = false;
  #isPlaying = false;
  #isClosed = false;
  #speed = 1;
  /** The recording's time `#clockUs` is now at `#clockMs` of the host. */
  #clockUs = 0;
  #clockMs = 0;
  #target: number | null = null;
  #seeking: number | null = null;
  #trouble: Trouble | null = null;
  #wake: () => void = () => undefined;
  /** In order. No video that is under way at one of them goes on behind it. */
  #stops: Stop[] = [];
  #stopUs = STOP_US;
  /** Where this run through the file began; null: at its beginning. */
  #base: Stop | null = null;
  /** The last frame of a video in this run that stands alone. */
  #keyAt: number | null = null;
  /** This run cannot go on: a video does that began before it. */
  #isLost = false;

  constructor(parts: { tape: Tape; reel: Reel; host: PlayHost }, changed: () => void) {
    this.#tape = parts.tape;
    this.#reel = parts.reel;
    this.#host = parts.host;
    this.#changed = changed;
    this.#at = parts.tape.begin;
    this.#longestUs = parts.tape.durationUs ?? 0;
  }

  get view(): PlayView {
    return {
      head: this.#tape.head,
      isPlaying: this.#isPlaying,
      isAtEnd: this.#isAtEnd,
      seeking: this.#seeking,
      positionMs: this.#nowUs() / 1000,
      durationMs: this.#longestUs / 1000,
      speed: this.#speed,
      trouble: this.#trouble,
    };
  }

  /** Shows the beginning, and plays when told to. Returns when it was closed. */
  async run(): Promise<void> {
    this.#target = 0;
    while (!this.#isClosed) {
      try {
        await this.#turn();
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  play(): void {
    if (this.#isPlaying || this.#trouble) return;
    if (this.#isAtEnd) this.#target = 0;
    this.#setClock(this.#nowUs());
    this.#isPlaying = true;
    this.#said();
  }

  pause(): void {
    if (!this.#isPlaying) return;
    this.#setClock(this.#nowUs());
    this.#isPlaying = false;
    this.#said();
  }

  seek(ms: number): void {
    if (this.#trouble && this.#trouble !== 'unreachable') return;
    this.#trouble = null;
    // Without an end mark nobody knows how long it is before it was seen.
    const most = this.#tape.durationUs ?? Infinity;
    // Sliders know whole milliseconds: the last one is the end.
    this.#target = ms * 1000 > most - 1000 ? most : Math.max(0, ms * 1000);
    this.#seeking ??= 0;
    this.#said();
  }

  setSpeed(speed: number): void {
    this.#setClock(this.#nowUs());
    this.#speed = speed;
    this.#said();
  }

  close(): void {
    this.#isClosed = true;
    this.#reel.close();
    this.#wake();
  }

  async #turn(): Promise<void> {
    if (this.#target !== null) {
      await this.#go(this.#target);
      return;
    }
    if (!this.#isPlaying) {
      await this.#sleep(null);
      return;
    }
    const next = await this.#peek();
    if (!next) {
      await this.#reel.settled(0);
      this.#finish();
      return;
    }
    const aheadMs = (next.atUs - this.#nowUs()) / 1000 / this.#speed;
    if (aheadMs >= 1) {
      await this.#sleep(aheadMs);
      return;
    }
    await this.#reel.settled(mostBefore(next));
    if (aheadMs < -LATE_MS) this.#setClock(next.atUs);
    if (!this.#isOn(null) || this.#next !== next) return;
    // It goes on from before the place that was come back to.
    if (!this.#take(next)) this.#target = next.atUs;
  }

  /** Goes to a place; another wish on the way is followed at once. */
  async #go(targetUs: number): Promise<void> {
    this.#seeking = 0;
    this.#reel.quiet();
    const stop = this.#stops.findLast(({ atUs }) => atUs <= targetUs) ?? null;
    if (targetUs < this.#takenUs || this.#isLost || (stop && stop.atUs > this.#takenUs)) {
      this.#begin(stop);
    }
    const fromUs = this.#takenUs;
    let until = this.#host.now() + TURN_MS;
    for (;;) {
      const next = await this.#peek();
      if (!this.#isOn(targetUs)) return;
      if (!next || next.atUs > targetUs) {
        this.#isAtEnd = next === null;
        break;
      }
      await this.#reel.settled(mostBefore(next));
      if (!this.#isOn(targetUs)) return;
      if (!this.#take(next)) return; // Once more, from further back.
      if (this.#host.now() < until) continue;
      const part = (next.atUs - fromUs) / Math.max(1, targetUs - fromUs);
      this.#seeking = Math.min(0.99, part);
      this.#changed();
      await this.#pass();
      if (!this.#isOn(targetUs)) return;
      until = this.#host.now() + TURN_MS;
    }
    await this.#reel.settled(0);
    if (!this.#isOn(targetUs)) return;
    this.#target = null;
    this.#seeking = null;
    this.#reel.loud();
    this.#setClock(Math.max(targetUs, this.#takenUs));
    if (this.#isAtEnd) this.#finish();
    else this.#changed();
  }

  /** Whether this is still what is wanted; things change while one waits. */
  #isOn(target: number | null): boolean {
    return !this.#isClosed && this.#target === target;
  }

  async #peek(): Promise<Record | null> {
    const at = this.#at;
    this.#next ??= await this.#tape.record(at);
    return this.#next;
  }

  /** Begins a run through the file. */
  #begin(stop: Stop | null): void {
    this.#reel.restart(stop?.kept ?? null);
    this.#at = stop?.at ?? this.#tape.begin;
    this.#takenUs = stop?.atUs ?? 0;
    this.#next = null;
    this.#base = stop;
    this.#keyAt = null;
    this.#isLost = false;
  }

  /** False: the run must begin further back. */
  #take(record: Record): boolean {
    const at = this.#at;
    const video = videoOf(record.message);
    if (video === 'key') this.#keyAt = at;
    if (video === 'delta') {
      const from = this.#keyAt ?? -1;
      if (this.#stops.some((stop) => stop.at > from && stop.at <= at)) {
        this.#stops = this.#stops.filter((stop) => stop.at <= from || stop.at > at);
      }
      if (this.#keyAt === null && this.#base) {
        this.#isLost = true;
        return false;
      }
    }
    this.#next = null;
    this.#at = record.next;
    this.#takenUs = Math.max(this.#takenUs, record.atUs);
    this.#longestUs = Math.max(this.#longestUs, record.atUs);
    if (this.#reel.take(record.message, at)) this.#keep(record);
    return true;
  }

  #keep(record: Record): void {
    const last = this.#stops.findLast((stop) => stop.atUs <= record.atUs);
    if (last && record.atUs - last.atUs < this.#stopUs) return;
    const kept = this.#reel.keep();
    if (!kept) return;
    this.#stops.push({ at: record.next, atUs: record.atUs, kept });
    this.#stops.sort((a, b) => a.atUs - b.atUs);
    while (bytesOf(this.#stops) > STOPS_BYTES_MAX && this.#stops.length > 1) {
      this.#stopUs *= 2;
      this.#stops = this.#stops.filter((_, i) => i % 2 === 0);
    }
  }

  #finish(): void {
    this.#setClock(this.#tape.durationUs ?? this.#takenUs);
    this.#isAtEnd = true;
    this.#isPlaying = false;
    this.#changed();
  }

  #fail(error: unknown): void {
    console.warn('The recording cannot be played on:', error);
    const isBroken = error instanceof ProtocolError;
    this.#trouble =
      error instanceof PlayError ? error.trouble : isBroken ? 'broken' : 'unreachable';
    this.#setClock(this.#nowUs());
    this.#isPlaying = false;
    this.#target = null;
    this.#seeking = null;
    this.#reel.loud();
    this.#changed();
  }

  #nowUs(): number {
    if (this.#target !== null) return Math.min(this.#target, this.#longestUs);
    if (!this.#isPlaying) return this.#clockUs;
    const passed = (this.#host.now() - this.#clockMs) * 1000 * this.#speed;
    const most = this.#next?.atUs ?? Math.max(this.#longestUs, this.#clockUs);
    return Math.min(this.#clockUs + passed, Math.max(most, this.#clockUs));
  }

  #setClock(us: number): void {
    this.#clockUs = us;
    this.#clockMs = this.#host.now();
    if (us < this.#longestUs) this.#isAtEnd = false;
  }

  #said(): void {
    this.#changed();
    this.#wake();
  }

  /** Until something is said, or so long. */
  #sleep(ms: number | null): Promise<void> {
    return new Promise((done) => {
      const cancel = ms === null ? () => undefined : this.#host.later(ms, wake);
      this.#wake = wake;
      function wake(): void {
        cancel();
        done();
      }
    });
  }

  /** Lets the page do what it has to. */
  #pass(): Promise<void> {
    return new Promise((done) => this.#host.later(0, done));
  }
}

/**
 * So many frames may be on their way when this record's turn comes. What the agent says is about
 * what was on the screen by then: it had waited for the acknowledgements.
 */
function mostBefore({ message }: Record): number {
  return new DataView(message).getUint8(0) === Kind.Agent ? 0 : FRAMES_MAX;
}

/** Slots are shared between places; each is counted once. */
function bytesOf(stops: readonly Stop[]): number {
  const seen = new Set<Uint32Array>();
  for (const { kept } of stops) {
    seen.add(kept.pixels);
    for (const slot of kept.slots) if (slot) seen.add(slot.pixels);
  }
  let bytes = 0;
  for (const pixels of seen) bytes += pixels.byteLength;
  return bytes;
}
