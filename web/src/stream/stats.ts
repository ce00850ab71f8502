/** Numbers about the stream, for the overlay and for tests. */

/** Rates are taken over this long. */
const WINDOW_MS = 2000;
/** Frames and input answers kept at most: two seconds at 120 a second. */
const SAMPLES_MAX = 240;

export interface Numbers {
  /** Frames shown since the page was opened. */
  readonly frames: number;
  /** Those of them that came as video. */
  readonly videoFrames: number;
  readonly bytes: number;
  readonly framesPerSecond: number;
  readonly bytesPerSecond: number;
  /** Mean time to unpack, decode and hash a frame, and to draw it. */
  readonly decodeMs: number;
  readonly drawMs: number;
  /** Median time from a key or button to the next frame; null before there was one. */
  readonly answerMs: number | null;
  readonly reconnects: number;
}

interface Shown {
  at: number;
  isVideo: boolean;
  bytes: number;
  decodeMs: number;
  drawMs: number;
}

/** An answer that comes later than this was not one. */
const ANSWER_MS_MAX = 1000;
/** The median is taken over this many. */
const ANSWERS = 20;

export class Stats {
  #frames = 0;
  #videoFrames = 0;
  #bytes = 0;
  #reconnects = 0;
  #recent: Shown[] = [];
  #answers: number[] = [];
  #askedAt: number | null = null;

  /** So much was received since the page was opened. */
  received(bytesEver: number): void {
    this.#bytes = bytesEver;
  }

  /** A key or button was sent. */
  asked(now: number): void {
    this.#askedAt ??= now;
  }

  shown(sample: Shown): void {
    this.#frames++;
    if (sample.isVideo) this.#videoFrames++;
    this.#recent.push(sample);
    if (this.#recent.length > SAMPLES_MAX) this.#recent.shift();
    if (this.#askedAt !== null) {
      const ms = sample.at - this.#askedAt;
      this.#askedAt = null;
      if (ms <= ANSWER_MS_MAX) this.#answers = [...this.#answers, ms].slice(-ANSWERS);
    }
  }

  reconnected(): void {
    this.#reconnects++;
    this.#askedAt = null;
  }

  numbers(now: number): Numbers {
    const recent = this.#recent.filter((s) => now - s.at <= WINDOW_MS);
    const sum = (of: (s: Shown) => number) => recent.reduce((total, s) => total + of(s), 0);
    const mean = (of: (s: Shown) => number) => (recent.length === 0 ? 0 : sum(of) / recent.length);
    const sorted = [...this.#answers].sort((a, b) => a - b);
    return {
      frames: this.#frames,
      videoFrames: this.#videoFrames,
      bytes: this.#bytes,
      framesPerSecond: (recent.length * 1000) / WINDOW_MS,
      bytesPerSecond: (sum((s) => s.bytes) * 1000) / WINDOW_MS,
      decodeMs: mean((s) => s.decodeMs),
      drawMs: mean((s) => s.drawMs),
      answerMs: sorted[sorted.length >> 1] ?? null,
      reconnects: this.#reconnects,
    };
  }
}
