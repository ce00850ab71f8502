/** One viewer's stream: speaks the protocol, shows what comes, says what the page wants. */
import { Connection, type ConnectionHost } from './connection';
import { readCursor } from './cursor';
import { Exactness } from './exact';
import { hashText } from './hash';
import { Picture, type Pixels, type Rect } from './picture';
import type { PixelCode } from './pixels';
import { Presenter, type Shown } from './presenter';
import {
  type AgentMessage,
  Flag,
  type GateMessage,
  Kind,
  type Message,
  ProtocolError,
  type Quality,
  readAgentMessage,
  readGateMessage,
  readMessage,
  type Region,
  type Status,
  VERSION,
  type VideoCodec,
  type ViewerMessage,
  writeAck,
  writeJson,
} from './proto';
import type { SliceDecoder } from './slices';
import type { Surface } from './surface';
import { TileDecoder } from './tiles';
import { Verifier, type VerifierHost } from './verify';
import { type Codecs, VideoPath } from './video';
import type { Controls, Listener, Size, View } from './view';
import type { Zstd } from './zstd';

export type { Socket } from './connection';
export type { Controls, LinkState, Listener, Sample, Size, View } from './view';

/** What the session needs of the world. */
export interface Host extends VerifierHost, ConnectionHost {
  /** Finds out once what this browser decodes. */
  codecs(): Promise<Codecs>;
}

/** Pointer moves are dropped while more than this waits to be sent. */
const SEND_BYTES_MAX = 64 << 10;
/** A tile that reads back wrong is seen as such for so long before it is repaired. */
const REPAIR_MS = 500;
/** A browser that takes longer to show what it decodes gets tiles only. */
const PROBE_MS_MAX = 2000;

const NO_CODECS: Codecs = {
  decodes: () => [],
  open: () => {
    throw new Error('no decoder');
  },
  config: () => {
    throw new Error('no decoder');
  },
};

export class Session implements Controls {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #surface: Surface;
  readonly #listener: Listener;
  readonly #picture: Picture;
  readonly #presenter: Presenter;
  readonly #slices: SliceDecoder;
  readonly #exactness = new Exactness();
  readonly #verifier: Verifier;

  #asked: Size;
  #layout: string | null = null;
  #isVisible = true;
  #quality: Quality;
  #region: Region | null = null;
  #isWatched = false;
  #codecs = NO_CODECS;
  #decodes: readonly VideoCodec[] | null = null;
  #desktopName: string | null = null;
  #userName: string | null = null;
  #layouts: readonly string[] = [];
  #refusedBeyond: Size | null = null;
  #notice: string | null = null;
  #status: Status | null = null;
  #marked: readonly Region[] = [];
  #isRecorded = false;
  #recordingTrouble: View['recordingTrouble'] = null;
  #size: Size | null = null;
  #greeted = false;

  /** Last frame that came in whole. */
  #frame: number | null = null;
  #bytesEver = 0;
  /** Tiles that read back wrong and will be repaired soon. */
  readonly #wrong = new Set<number>();
  #cancelRepair: (() => void) | null = null;
  #lastPointer: { x: number; y: number } | null = null;

  constructor(
    options: { desktop: string; size: Size; quality?: Quality },
    parts: {
      host: Host;
      surface: Surface;
      code: PixelCode;
      zstd: Pick<Zstd, 'unpack'>;
      slices: SliceDecoder;
    },
    listener: Listener,
  ) {
    this.#asked = options.size;
    this.#quality = options.quality ?? 'automatic';
    const { host, surface, code, zstd } = parts;
    this.#host = host;
    this.#surface = surface;
    this.#slices = parts.slices;
    this.#listener = listener;
    this.#connection = new Connection(options.desktop, host, {
      message: (data) => {
        this.#receive(data);
      },
      dropped: () => {
        this.#dropped();
      },
      ended: () => {
        this.#presenter.blank();
      },
      changed: () => {
        this.#changed();
      },
    });
    const picture = new Picture(code);
    this.#picture = picture;
    const codecs: Codecs = {
      // Known only when the probe is done.
      decodes: () => this.#codecs.decodes(),
      open: (events) => this.#codecs.open(events),
      config: (codec, key, head) => this.#codecs.config(codec, key, head),
    };
    const video = new VideoPath(
      { codecs, surface, host },
      {
        failed: (codec) => {
          this.send({ type: 'video_failed', codec });
        },
        lost: () => {
          this.send({ type: 'key_frame' });
        },
        ready: () => {
          this.#presenter.pump();
        },
      },
    );
    const tiles = new TileDecoder(picture, code, zstd);
    const now = () => host.now();
    this.#presenter = new Presenter(
      { picture, surface, tiles, video, now },
      {
        drawn: (drawn) => {
          this.#exactness.drawn(drawn);
          this.#verifier.disturbed();
        },
        shown: (shown) => {
          this.#shown(shown);
        },
        resized: () => {
          this.#listener.resized({ width: picture.width, height: picture.height });
        },
      },
    );
    this.#verifier = new Verifier(
      { picture, surface, exactness: this.#exactness, host },
      {
        wrong: (wrong) => {
          this.#repair(wrong);
        },
        change: () => {
          this.#changed();
        },
      },
    );
  }

  get view(): View {
    return {
      link: this.#connection.state,
      exact: this.#exactness.state,
      desktopName: this.#desktopName,
      userName: this.#userName,
      size: this.#size,
      refusedBeyond: this.#refusedBeyond,
      layouts: this.#layouts,
      notice: this.#notice,
      status: this.#status,
      marked: this.#marked,
      region: this.#region,
      recording: this.#isRecorded,
      mayRecord: this.#connection.policy === 'allowed',
      recordingTrouble: this.#recordingTrouble,
      decodes: this.#decodes,
      quality: this.#quality,
    };
  }

  /** Root over the tiles as held, as text. */
  root(): string {
    return hashText(this.#picture.root());
  }

  get frame(): number | null {
    return this.#frame;
  }

  /** What is really shown, read back from the canvas. */
  pixels(area: Rect): Promise<Pixels> {
    return this.#surface.read(area);
  }

  start(): void {
    this.#connection.start();
  }

  close(): void {
    this.#connection.close();
  }

  retry(): void {
    this.#connection.retry();
  }

  send(message: ViewerMessage): void {
    if (!this.#greeted) return;
    this.#connection.socket?.send(writeJson(Kind.Viewer, message));
  }

  point(x: number, y: number): void {
    const { socket } = this.#connection;
    if (!socket || socket.bufferedAmount > SEND_BYTES_MAX) return;
    if (this.#lastPointer?.x === x && this.#lastPointer.y === y) return;
    this.#lastPointer = { x, y };
    this.send({ type: 'pointer', x, y });
  }

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

  setQuality(quality: Quality): void {
    if (quality === this.#quality) return;
    this.#quality = quality;
    this.send({ type: 'quality', quality });
    this.#changed();
  }

  markRegion(region: Region | null): void {
    this.#region = region;
    this.send({ type: 'region', region });
    this.#changed();
  }

  record(on: boolean): void {
    if (on === this.#connection.wantsRecord || !this.#connection.isOpen) return;
    this.#connection.wantsRecord = on;
    this.#recordingTrouble = null;
    this.#connection.again();
  }

  watch(on: boolean): void {
    if (on === this.#isWatched) return;
    this.#isWatched = on;
    if (!on) this.#status = null;
    this.send({ type: 'watch', on });
  }

  #receive(data: unknown): void {
    if (!(data instanceof ArrayBuffer)) throw new ProtocolError('not a binary message');
    this.#bytesEver += data.byteLength;
    this.#presenter.received(data.byteLength);
    const message = readMessage(data);
    switch (message.kind) {
      case Kind.Tiles:
        this.#expectOpen();
        this.#came(this.#presenter.takeTiles(message));
        break;
      case Kind.Video:
        this.#expectOpen();
        this.#came(this.#presenter.takeVideo(message));
        break;
      case Kind.Slice:
        this.#expectOpen();
        this.#slice(message);
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
  }

  #slice(message: Message): void {
    const from = this.#host.now();
    const seen = this.#slices.receive(message);
    for (const change of seen.changes) this.#listener.slice(change);
    this.#presenter.worked(this.#host.now() - from);
    if (seen.shown) this.send(seen.shown);
    if (!seen.last) return;
    this.#presenter.takeOther(seen.frame);
    this.#came(seen.frame);
  }

  #hideSlices(): void {
    for (const change of this.#slices.restart()) this.#listener.slice(change);
  }

  #expectOpen(): void {
    if (!this.#connection.isOpen) throw new ProtocolError('picture before hello');
  }

  #came(frame: number | null): void {
    if (frame === null) return;
    this.#frame = frame;
    this.#presenter.pump();
  }

  #gate(message: GateMessage | null): void {
    if (!message) return;
    switch (message.type) {
      case 'welcome':
        this.#desktopName = message.desktop_name;
        this.#userName = message.user_name;
        this.#recorded(message.recording, 'failed');
        void this.#greet();
        break;
      case 'recording':
        this.#recorded(message.on, 'ended');
        break;
      case 'close':
        if (message.retry) this.#connection.lost(message.reason);
        else this.#connection.end(message.reason);
        break;
    }
  }

  #recorded(on: boolean, otherwise: 'ended' | 'failed'): void {
    const isMissed = !on && (this.#connection.wantsRecord || this.#isRecorded);
    this.#isRecorded = on;
    if (on) this.#recordingTrouble = null;
    else if (isMissed) this.#recordingTrouble = otherwise;
    // Not begun again by itself: the user has been told.
    if (!on) this.#connection.wantsRecord = false;
    this.#changed();
  }

  /** Says hello, as soon as it is known what this browser decodes. */
  async #greet(): Promise<void> {
    const { socket } = this.#connection;
    if (this.#decodes === null) {
      const codecs = await this.#probe();
      if (codecs) {
        this.#codecs = codecs;
        this.#decodes = codecs.decodes();
      }
      if (socket !== this.#connection.socket) return;
    }
    this.#greeted = true;
    this.send({
      type: 'hello',
      version: VERSION,
      ...this.#asked,
      decodes: this.#decodes ?? [],
      quality: this.#quality,
    });
    this.#changed();
  }

  /** Null: not known in time; the next stream may know. */
  #probe(): Promise<Codecs | null> {
    return new Promise((found) => {
      const cancel = this.#host.later(PROBE_MS_MAX, () => {
        found(null);
      });
      this.#host.codecs().then(
        (codecs) => {
          cancel();
          found(codecs);
        },
        (error: unknown) => {
          console.warn('No video:', error);
          cancel();
          found(NO_CODECS);
        },
      );
    });
  }

  #agent(message: AgentMessage | null): void {
    if (!message) return;
    switch (message.type) {
      case 'hello':
        if (message.version !== VERSION) throw new ProtocolError('another protocol version');
        this.#opened(message);
        break;
      case 'resized':
        this.#expectOpen();
        this.#presenter.resized();
        this.#picture.resize(message.width, message.height);
        this.#refusedBeyond = null;
        this.#pictureChanged();
        break;
      case 'resize_refused':
        this.#refusedBeyond = { width: message.width_max, height: message.height_max };
        this.#changed();
        break;
      case 'exact':
        this.#expectOpen();
        this.#presenter.refresh();
        this.#exactness.claimed(message, { frame: this.#frame, root: this.root() });
        if (this.#exactness.atRest) this.#verifier.start();
        this.#changed();
        break;
      case 'notice':
        this.#notice = message.code;
        this.#changed();
        break;
      case 'status': {
        this.#status = this.#isWatched ? message.status : null;
        this.#changed();
        break;
      }
      case 'marked':
        this.#marked = message.regions;
        this.#changed();
        break;
    }
  }

  #opened(hello: Extract<AgentMessage, { type: 'hello' }>): void {
    this.#connection.opened();
    this.#layouts = hello.layouts;
    this.#notice = null;
    this.#frame = null;
    this.#lastPointer = null;
    this.#status = null;
    this.#marked = [];
    this.#presenter.restart();
    this.#presenter.resized();
    this.#picture.restart(hello.width, hello.height, hello.cache_slots);
    this.#exactness.connected();
    if (!this.#isVisible) this.send({ type: 'visible', visible: false });
    if (this.#layout !== null) this.send({ type: 'layout', name: this.#layout });
    if (this.#region !== null) this.send({ type: 'region', region: this.#region });
    if (this.#isWatched) this.send({ type: 'watch', on: true });
    this.#pictureChanged();
  }

  #pictureChanged(): void {
    this.#size = { width: this.#picture.width, height: this.#picture.height };
    this.#exactness.resized();
    this.#changed();
  }

  #shown({ frame, isVideo, bytes, decodeMs, drawMs, tiles }: Shown): void {
    const micros = (ms: number) => Math.round(ms * 1000);
    this.#connection.socket?.send(
      writeAck({ frame, decodeUs: micros(decodeMs), shownUs: micros(drawMs), tiles }),
    );
    const bytesEver = this.#bytesEver;
    const root = this.root();
    this.#listener.shown({ frame, isVideo, root, bytes, bytesEver, decodeMs, drawMs });
    this.#changed();
  }

  /** What is drawn is not what is held: draws it again, and has it sent again. */
  #repair(tiles: number[]): void {
    for (const tile of tiles) this.#wrong.add(tile);
    this.#cancelRepair ??= this.#host.later(REPAIR_MS, () => {
      this.#cancelRepair = null;
      const wrong = [...this.#wrong].filter((tile) => tile < this.#picture.tiles);
      this.#wrong.clear();
      this.#presenter.redraw(wrong);
      this.send({ type: 'repair', tiles: wrong });
      this.#changed();
    });
  }

  #dropped(): void {
    this.#isRecorded = false;
    this.#greeted = false;
    this.#presenter.restart();
    this.#hideSlices();
    this.#verifier.stop();
    this.#cancelRepair?.();
    this.#cancelRepair = null;
    this.#wrong.clear();
    this.#exactness.disconnected();
  }

  #changed(): void {
    this.#listener.changed(this.view);
  }
}
