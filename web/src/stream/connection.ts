/**
 * The way to a desktop: attaches, opens the socket, comes back by itself when it breaks.
 *
 * ```text
 *   connecting ──welcome, hello──▶ open ──socket lost──▶ waiting ──time, or network back──▶ connecting
 *       │ refused                    │ close without retry
 *       └────────────▶ ended ◀───────┘
 * ```
 */
import type { Attach, RecordingPolicy } from './attach';
import { type CloseReason, type GateHello, Kind, ProtocolError, VERSION, writeJson } from './proto';
import type { LinkState } from './view';

/** The part of a WebSocket that is used. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent<unknown>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface ConnectionHost {
  now(): number;
  random(): number;
  later(ms: number, run: () => void): () => void;
  attach(desktop: string, record: boolean): Promise<Attach>;
  connect(desktop: string): Socket;
}

export interface ConnectionEvents {
  /** Throws a `ProtocolError` where the other side broke the protocol. */
  message(data: unknown): void;
  /** The socket is gone, and all that belonged to it. */
  dropped(): void;
  /** It will not come back: nobody who comes by later sees what was on the screen. */
  ended(): void;
  changed(): void;
}

/** First and longest wait before coming back; the wait is a random part of it (full jitter). */
const WAIT_MS = 1000;
const WAIT_MS_MAX = 15_000;
/** A stream that lived this long was a good one: the next wait is short again. */
const SETTLED_MS = 10_000;
/** No first picture after this long: the socket is dead. */
const OPEN_MS_MAX = 20_000;
/** So many broken streams in a row, and coming back is pointless. */
const PROTOCOL_ERRORS_MAX = 3;

export class Connection {
  readonly #desktop: string;
  readonly #host: ConnectionHost;
  readonly #events: ConnectionEvents;

  #socket: Socket | null = null;
  #state: LinkState = { kind: 'connecting' };
  #policy: RecordingPolicy = 'off';
  #attempts = 0;
  #protocolErrors = 0;
  #openedAt = 0;
  #cancelWait: (() => void) | null = null;
  #isClosed = false;
  /** The next stream is to be kept. */
  wantsRecord = false;

  constructor(desktop: string, host: ConnectionHost, events: ConnectionEvents) {
    this.#desktop = desktop;
    this.#host = host;
    this.#events = events;
  }

  get state(): LinkState {
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open';
  }

  /** Null between two sockets; another after each coming back. */
  get socket(): Socket | null {
    return this.#socket;
  }

  /** What the gateway said about recording when it let us in. */
  get policy(): RecordingPolicy {
    return this.#policy;
  }

  start(): void {
    void this.#connect();
  }

  /** Ends it for good. */
  close(): void {
    this.#isClosed = true;
    this.end('ended');
  }

  /** Comes back at once, if it is waiting to. */
  retry(): void {
    if (this.#state.kind !== 'waiting') return;
    this.#cancelWait?.();
    void this.#connect();
  }

  /** Leaves and comes back at once. */
  again(): void {
    this.#drop();
    void this.#connect();
  }

  /** The agent has said hello. */
  opened(): void {
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#state = { kind: 'open' };
    this.#openedAt = this.#host.now();
  }

  lost(reason: CloseReason | null): void {
    const lived = this.isOpen ? this.#host.now() - this.#openedAt : 0;
    if (lived >= SETTLED_MS) {
      this.#attempts = 0;
      this.#protocolErrors = 0;
    }
    this.#drop();
    this.#wait(reason, 0);
  }

  end(reason: CloseReason | 'refused'): void {
    this.#drop();
    this.#events.ended();
    this.#cancelWait?.();
    this.#state = { kind: 'ended', reason };
    this.#events.changed();
  }

  async #connect(): Promise<void> {
    this.#state = { kind: 'connecting' };
    this.#events.changed();
    const answer = await this.#host.attach(this.#desktop, this.wantsRecord);
    if (this.#isClosed) return;
    switch (answer.kind) {
      case 'granted':
        this.#policy = answer.recording;
        this.#open(answer.nonce);
        break;
      case 'refused':
        this.end('refused');
        break;
      case 'unreachable':
        this.#wait(null, answer.afterMs);
        break;
    }
  }

  #open(nonce: string): void {
    const socket = this.#host.connect(this.#desktop);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#cancelWait = this.#host.later(OPEN_MS_MAX, () => {
      this.lost(null);
    });
    socket.onopen = () => {
      const hello: GateHello = { version: VERSION, nonce };
      socket.send(writeJson(Kind.GateHello, hello));
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.lost(null);
    };
  }

  #receive(data: unknown): void {
    try {
      this.#events.message(data);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      console.warn('The stream broke the protocol:', error.message);
      this.#protocolErrors++;
      if (this.#protocolErrors > PROTOCOL_ERRORS_MAX) this.end('protocol_error');
      else this.lost('protocol_error');
    }
  }

  #wait(reason: CloseReason | null, atLeastMs: number): void {
    const longest = Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** Math.min(this.#attempts, 10));
    const ms = atLeastMs + this.#host.random() * longest;
    this.#attempts++;
    this.#state = { kind: 'waiting', reason, untilMs: this.#host.now() + ms };
    this.#cancelWait?.();
    this.#cancelWait = this.#host.later(ms, () => {
      void this.#connect();
    });
    this.#events.changed();
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#events.dropped();
    socket?.close();
  }
}
