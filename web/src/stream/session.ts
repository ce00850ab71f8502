/**
 * One viewer's stream: attaches, speaks the protocol, comes back by itself when it breaks.
 *
 * ```text
 *   connecting ──welcome, hello──▶ open ──socket lost──▶ waiting ──time, or network back──▶ connecting
 *       │ refused                    │ close without retry
 *       └────────────▶ ended ◀───────┘
 * ```
 */
import type { Attach } from './attach';
import type { Surface } from './canvas';
import { type Cursor, readCursor } from './cursor';
import { Exactness, type ExactState } from './exact';
import { type Hash, hashText } from './hash';
import { Picture } from './picture';
import {
  type AgentMessage,
  type CloseReason,
  Flag,
  type GateHello,
  type GateMessage,
  Kind,
  type Message,
  ProtocolError,
  readAgentMessage,
  readGateMessage,
  readMessage,
  VERSION,
  type ViewerMessage,
  writeAck,
  writeJson,
} from './proto';
import { type Numbers, Stats } from './stats';
import { TileDecoder } from './tiles';
import { Verifier, type VerifierHost } from './verify';
import type { Zstd } from './zstd';

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

/** What the session needs of the world. */
export interface Host extends VerifierHost {
  attach(desktop: string): Promise<Attach>;
  connect(desktop: string): Socket;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type LinkState =
  | { kind: 'connecting' }
  | { kind: 'open' }
  | { kind: 'waiting'; reason: CloseReason | null; untilMs: number }
  | { kind: 'ended'; reason: CloseReason | 'refused' };

/** Everything a page shows about the stream. */
export interface View {
  readonly link: LinkState;
  readonly exact: ExactState;
  readonly desktopName: string | null;
  readonly userName: string | null;
  readonly size: Size | null;
  /** Largest picture the desktop can show; set when the asked one was refused. */
  readonly refusedBeyond: Size | null;
  readonly layouts: readonly string[];
  readonly notice: string | null;
}

export interface Listener {
  changed(view: View): void;
  cursor(cursor: Cursor): void;
  /** The picture on the surface has a new size. */
  resized(size: Size): void;
}

/** First and longest wait before coming back; the wait is a random part of it (full jitter). */
const WAIT_MS = 1000;
const WAIT_MS_MAX = 15_000;
/** A stream that lived this long was a good one: the next wait is short again. */
const SETTLED_MS = 10_000;
/** No first picture after this long: the socket is dead. */
const OPEN_MS_MAX = 20_000;
/** Pointer moves are dropped while more than this waits to be sent. */
const SEND_BYTES_MAX = 64 << 10;
/** A tile that reads back wrong is seen as such for so long before it is repaired. */
const REPAIR_MS = 500;
/** So many broken streams in a row, and coming back is pointless. */
const PROTOCOL_ERRORS_MAX = 3;

export class Session {
  readonly #desktop: string;
  readonly #host: Host;
  readonly #surface: Surface;
  readonly #listener: Listener;
  readonly #picture: Picture;
  readonly #decoder: TileDecoder;
  readonly #exactness = new Exactness();
  readonly #verifier: Verifier;
  readonly #stats = new Stats();

  #socket: Socket | null = null;
  #link: LinkState = { kind: 'connecting' };
  #attempts = 0;
  #protocolErrors = 0;
  #openedAt = 0;
  #cancelWait: (() => void) | null = null;
  #isClosed = false;

  #asked: Size;
  #layout: string | null = null;
  #isVisible = true;
  #desktopName: string | null = null;
  #userName: string | null = null;
  #layouts: readonly string[] = [];
  #refusedBeyond: Size | null = null;
  #notice: string | null = null;
  #size: Size | null = null;
  #greeted = false;

  /** The surface still shows the picture of before; it changes with the first new frame. */
  #surfaceIsOld = true;
  #frame: number | null = null;
  readonly #touched = new Set<number>();
  /** Tiles that read back wrong and will be repaired soon. */
  readonly #wrong = new Set<number>();
  #cancelRepair: (() => void) | null = null;
  #decodeMs = 0;
  #frameBytes = 0;
  #lastPointer: { x: number; y: number } | null = null;

  constructor(
    options: { desktop: string; size: Size },
    parts: { host: Host; surface: Surface; hash: Hash; zstd: Pick<Zstd, 'unpack'> },
    listener: Listener,
  ) {
    this.#desktop = options.desktop;
    this.#asked = options.size;
    this.#host = parts.host;
    this.#surface = parts.surface;
    this.#listener = listener;
    this.#picture = new Picture(parts.hash);
    this.#decoder = new TileDecoder(this.#picture, parts.zstd);
    this.#verifier = new Verifier(
      {
        picture: this.#picture,
        surface: parts.surface,
        exactness: this.#exactness,
        host: parts.host,
      },
      {
        wrong: (tiles) => {
          this.#repair(tiles);
        },
        change: () => {
          this.#changed();
        },
      },
    );
  }

  get view(): View {
    return {
      link: this.#link,
      exact: this.#exactness.state,
      desktopName: this.#desktopName,
      userName: this.#userName,
      size: this.#size,
      refusedBeyond: this.#refusedBeyond,
      layouts: this.#layouts,
      notice: this.#notice,
    };
  }

  numbers(): Numbers {
    return this.#stats.numbers(this.#host.now());
  }

  /** Root over the tiles as held, as text. */
  root(): string {
    return hashText(this.#picture.root());
  }

  get frame(): number | null {
    return this.#frame;
  }

  start(): void {
    void this.#connect();
  }

  /** Ends the stream for good. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
    this.#blank();
    this.#cancelWait?.();
    this.#link = { kind: 'ended', reason: 'ended' };
    this.#changed();
  }

  /** Comes back at once, if it is waiting to. */
  retry(): void {
    if (this.#link.kind !== 'waiting') return;
    this.#cancelWait?.();
    void this.#connect();
  }

  send(message: ViewerMessage): void {
    if (!this.#greeted || !this.#socket) return;
    if (message.type === 'key' || message.type === 'button') this.#stats.asked(this.#host.now());
    this.#socket.send(writeJson(Kind.Viewer, message));
  }

  /** Sends where the pointer is; left out while the line is full, for the next one replaces it. */
  point(x: number, y: number): void {
    if (!this.#socket || this.#socket.bufferedAmount > SEND_BYTES_MAX) return;
    if (this.#lastPointer?.x === x && this.#lastPointer.y === y) return;
    this.#lastPointer = { x, y };
    this.send({ type: 'pointer', x, y });
  }

  /** Asks for a picture of this size. */
  ask(size: Size): void {
    if (size.width === this.#asked.width && size.height === this.#asked.height) return;
    this.#asked = size;
    this.send({ type: 'resize', ...size });
  }

  setVisible(visible: boolean): void {
    if (visible === this.#isVisible) return;
    this.#isVisible = visible;
    this.send({ type: 'visible', visible });
  }

  setLayout(name: string): void {
    this.#layout = name;
    this.send({ type: 'layout', name });
  }

  async #connect(): Promise<void> {
    this.#link = { kind: 'connecting' };
    this.#changed();
    const answer = await this.#host.attach(this.#desktop);
    if (this.#isClosed) return;
    switch (answer.kind) {
      case 'granted':
        this.#open(answer.nonce);
        break;
      case 'refused':
        this.#end('refused');
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
      this.#lost(null);
    });
    socket.onopen = () => {
      const hello: GateHello = { version: VERSION, nonce };
      socket.send(writeJson(Kind.GateHello, hello));
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#lost(null);
    };
  }

  #receive(data: unknown): void {
    try {
      if (!(data instanceof ArrayBuffer)) throw new ProtocolError('not a binary message');
      this.#stats.received(data.byteLength);
      this.#frameBytes += data.byteLength;
      const message = readMessage(data);
      switch (message.kind) {
        case Kind.Tiles:
          this.#tiles(message);
          break;
        case Kind.Cursor:
          this.#listener.cursor(readCursor(message.payload));
          break;
        case Kind.Agent:
          this.#agent(readAgentMessage(message.payload));
          break;
        case Kind.Gate:
          this.#gate(readGateMessage(message.payload));
          break;
        default:
          if (!(message.flags & Flag.Optional)) throw new ProtocolError('unknown message');
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      console.warn('The stream broke the protocol:', error.message);
      this.#protocolErrors++;
      if (this.#protocolErrors > PROTOCOL_ERRORS_MAX) this.#end('protocol_error');
      else this.#lost('protocol_error');
    }
  }

  #gate(message: GateMessage | null): void {
    if (!message) return;
    switch (message.type) {
      case 'welcome':
        this.#desktopName = message.desktop_name;
        this.#userName = message.user_name;
        this.#greeted = true;
        this.send({ type: 'hello', version: VERSION, ...this.#asked });
        this.#changed();
        break;
      case 'close':
        if (message.retry) this.#lost(message.reason);
        else this.#end(message.reason);
        break;
    }
  }

  #agent(message: AgentMessage | null): void {
    if (!message) return;
    switch (message.type) {
      case 'hello':
        if (message.version !== VERSION) throw new ProtocolError('another protocol version');
        this.#opened(message);
        break;
      case 'resized':
        this.#picture.resize(message.width, message.height);
        this.#refusedBeyond = null;
        this.#pictureChanged();
        break;
      case 'resize_refused':
        this.#refusedBeyond = { width: message.width_max, height: message.height_max };
        this.#changed();
        break;
      case 'exact':
        this.#refreshSurface();
        this.#exactness.claimed(message, { frame: this.#frame, root: this.root() });
        if (this.#exactness.atRest) this.#verifier.start();
        this.#changed();
        break;
      case 'notice':
        this.#notice = message.code;
        this.#changed();
        break;
    }
  }

  #opened(hello: Extract<AgentMessage, { type: 'hello' }>): void {
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#link = { kind: 'open' };
    this.#openedAt = this.#host.now();
    this.#layouts = hello.layouts;
    this.#notice = null;
    this.#frame = null;
    this.#lastPointer = null;
    this.#picture.restart(hello.width, hello.height, hello.cache_slots);
    this.#exactness.connected();
    if (!this.#isVisible) this.send({ type: 'visible', visible: false });
    if (this.#layout !== null) this.send({ type: 'layout', name: this.#layout });
    this.#pictureChanged();
  }

  #pictureChanged(): void {
    this.#size = { width: this.#picture.width, height: this.#picture.height };
    this.#touched.clear();
    this.#surfaceIsOld = true;
    this.#exactness.resized();
    this.#changed();
  }

  #tiles(message: Message): void {
    if (this.#link.kind !== 'open') throw new ProtocolError('picture before hello');
    const from = this.#host.now();
    const decoded = this.#decoder.decode(message, this.#touched);
    this.#decodeMs += this.#host.now() - from;
    if (decoded.last) this.#show(decoded.frame);
  }

  /** Draws at once, not at the browser's next frame: that would add up to a frame of delay. */
  #show(frame: number): void {
    const now = () => this.#host.now();
    const from = now();
    if (this.#surfaceIsOld) this.#refreshSurface();
    else this.#surface.draw(this.#picture, this.#touched);
    const drawn = now();
    const tiles = Array.from(this.#touched, (tile) => ({
      tile,
      hash: this.#picture.rehash(tile),
    }));
    const at = now();
    const decodeMs = this.#decodeMs + (at - drawn);
    const drawMs = drawn - from;
    this.#socket?.send(
      writeAck({
        frame,
        decodeUs: Math.round(decodeMs * 1000),
        shownUs: Math.round(drawMs * 1000),
        tiles,
      }),
    );
    this.#frame = frame;
    this.#exactness.drawn(this.#touched);
    this.#stats.shown({ at, bytes: this.#frameBytes, decodeMs, drawMs });
    this.#touched.clear();
    this.#decodeMs = 0;
    this.#frameBytes = 0;
    this.#changed();
  }

  #refreshSurface(): void {
    if (!this.#surfaceIsOld) return;
    this.#surfaceIsOld = false;
    this.#surface.resize(this.#picture);
    const all = [...Array(this.#picture.tiles).keys()];
    this.#surface.draw(this.#picture, all);
    this.#exactness.drawn(all);
    this.#listener.resized({ width: this.#picture.width, height: this.#picture.height });
  }

  /** What is drawn is not what is held: draws it again, and has it sent again. */
  #repair(tiles: number[]): void {
    for (const tile of tiles) this.#wrong.add(tile);
    this.#cancelRepair ??= this.#host.later(REPAIR_MS, () => {
      this.#cancelRepair = null;
      const wrong = [...this.#wrong].filter((tile) => tile < this.#picture.tiles);
      this.#wrong.clear();
      this.#surface.draw(this.#picture, wrong);
      this.#exactness.drawn(wrong);
      this.send({ type: 'repair', tiles: wrong });
      this.#changed();
    });
  }

  #lost(reason: CloseReason | null): void {
    const lived = this.#link.kind === 'open' ? this.#host.now() - this.#openedAt : 0;
    if (lived >= SETTLED_MS) {
      this.#attempts = 0;
      this.#protocolErrors = 0;
    }
    this.#drop();
    this.#wait(reason, 0);
  }

  #wait(reason: CloseReason | null, atLeastMs: number): void {
    const longest = Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** Math.min(this.#attempts, 10));
    const ms = atLeastMs + this.#host.random() * longest;
    this.#attempts++;
    this.#stats.reconnected();
    this.#link = { kind: 'waiting', reason, untilMs: this.#host.now() + ms };
    this.#cancelWait?.();
    this.#cancelWait = this.#host.later(ms, () => {
      void this.#connect();
    });
    this.#changed();
  }

  #end(reason: CloseReason | 'refused'): void {
    this.#drop();
    this.#blank();
    this.#cancelWait?.();
    this.#link = { kind: 'ended', reason };
    this.#changed();
  }

  /** Nobody who comes by later sees what was on the screen. */
  #blank(): void {
    if (this.#size === null) return;
    this.#picture.resize(this.#size.width, this.#size.height);
    this.#surface.resize(this.#picture);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#greeted = false;
    this.#touched.clear();
    this.#decodeMs = 0;
    this.#frameBytes = 0;
    this.#verifier.stop();
    this.#cancelRepair?.();
    this.#cancelRepair = null;
    this.#wrong.clear();
    this.#exactness.disconnected();
    socket?.close();
  }

  #changed(): void {
    this.#listener.changed(this.view);
  }
}
