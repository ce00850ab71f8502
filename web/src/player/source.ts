/** Bytes of a recording's file, fetched in pieces as they are needed. */

/** Why a recording cannot be played, in words that the page translates. */
export type Trouble = 'refused' | 'broken' | 'unreachable';

export class PlayError extends Error {
  override name = 'PlayError';
  readonly trouble: Trouble;

  constructor(trouble: Trouble, message: string) {
    super(message);
    this.trouble = trouble;
  }
}

/** A file that can be read anywhere. */
export interface Source {
  /** How long it was when it was opened. */
  size(): Promise<number>;
  /** A copy of so many bytes; null where the file ends before. */
  read(at: number, length: number): Promise<Uint8Array<ArrayBuffer> | null>;
}

/** The longest message fits into two. */
const PIECE_BYTES = 2 << 20;
/** 32 MiB: going a little back needs no new request. */
const PIECES_MAX = 16;
const TRY_MS = 30_000;

export class RangeSource implements Source {
  readonly #url: string;
  readonly #fetch: typeof fetch;
  /** In the order of their last use. */
  readonly #pieces = new Map<number, Promise<Uint8Array>>();
  #size: Promise<number> | null = null;

  constructor(url: string, by: typeof fetch = (...request) => fetch(...request)) {
    this.#url = url;
    this.#fetch = by;
  }

  size(): Promise<number> {
    this.#size ??= this.#look();
    return this.#size;
  }

  async read(at: number, length: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const size = await this.size();
    if (at + length > size) return null;
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const number = Math.floor((at + done) / PIECE_BYTES);
      const piece = await this.#piece(number, size);
      const from = at + done - number * PIECE_BYTES;
      const part = piece.subarray(from, Math.min(piece.length, from + length - done));
      if (part.length === 0) throw new PlayError('unreachable', 'the file became shorter');
      out.set(part, done);
      done += part.length;
    }
    // What comes next is probably what is behind it.
    const next = Math.floor((at + length) / PIECE_BYTES) + 1;
    if (next * PIECE_BYTES < size && !this.#pieces.has(next)) {
      this.#piece(next, size).catch(() => this.#pieces.delete(next));
    }
    return out;
  }

  #piece(number: number, size: number): Promise<Uint8Array> {
    const held = this.#pieces.get(number);
    const from = number * PIECE_BYTES;
    const piece = held ?? this.#get(from, Math.min(size, from + PIECE_BYTES) - 1);
    this.#pieces.delete(number);
    this.#pieces.set(number, piece);
    if (!held) {
      piece.catch(() => this.#pieces.delete(number));
      const [oldest] = this.#pieces.keys();
      if (this.#pieces.size > PIECES_MAX && oldest !== undefined) this.#pieces.delete(oldest);
    }
    return piece;
  }

  async #get(from: number, last: number): Promise<Uint8Array> {
    const response = await this.#ask(from, last);
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch {
      throw new PlayError('unreachable', 'the answer broke off');
    }
  }

  async #look(): Promise<number> {
    const response = await this.#ask(0, 0);
    const size = /^bytes 0-0\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1];
    if (size === undefined) throw new PlayError('unreachable', 'the answer says no length');
    return Number(size);
  }

  async #ask(from: number, last: number): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetch(this.#url, {
        headers: { Range: `bytes=${from}-${last}` },
        credentials: 'same-origin',
        cache: 'no-store',
        signal: AbortSignal.timeout(TRY_MS),
      });
    } catch {
      throw new PlayError('unreachable', 'no answer');
    }
    if (response.status === 206) return response;
    if (response.status === 416) throw new PlayError('broken', 'the file is empty');
    const isFinal = response.status === 403 || response.status === 404;
    throw new PlayError(isFinal ? 'refused' : 'unreachable', `status ${response.status}`);
  }
}
