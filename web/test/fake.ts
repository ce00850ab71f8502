/** A world for a session without browser, network or time: everything is done by hand. */
import type { Attach, RecordingPolicy } from '../src/stream/attach';
import type { Picture, Pixels, Rect } from '../src/stream/picture';
import { PixelCode } from '../src/stream/pixels';
import { HEADER_BYTES, Kind, type VideoCodec, type ViewerMessage } from '../src/stream/proto';
import { type Host, type Sample, Session, type Socket, type View } from '../src/stream/session';
import { type SliceChange, SliceDecoder } from '../src/stream/slices';
import type { DecodedFrame, Prepared, Surface } from '../src/stream/surface';
import type { Chunk, Codecs, Decoder, DecoderEvents } from '../src/stream/video';
import { Zstd } from '../src/stream/zstd';
import { message } from './bytes';

export class FakeSocket implements Socket {
  binaryType = '';
  bufferedAmount = 0;
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  isClosed = false;
  readonly sent: Uint8Array[] = [];

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.sent.push(bytes.slice());
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    queueMicrotask(() => this.onclose?.(new Event('close') as CloseEvent));
  }

  receive(data: unknown): void {
    this.onmessage?.({ data } as MessageEvent);
  }

  say(kind: number, value: unknown): void {
    this.receive(message(kind, 0, new TextEncoder().encode(JSON.stringify(value))));
  }

  /** Control messages sent so far. */
  get said(): ViewerMessage[] {
    return this.sent
      .filter((bytes) => bytes[0] === Kind.Viewer)
      .map(
        (bytes) => JSON.parse(new TextDecoder().decode(bytes.slice(HEADER_BYTES))) as ViewerMessage,
      );
  }

  get acks(): Uint8Array[] {
    return this.sent.filter((bytes) => bytes[0] === Kind.Ack).map((b) => b.slice(HEADER_BYTES));
  }
}

/** Keeps what is drawn, and lies about it when told to. */
export class FakeSurface implements Surface {
  #pixels = new Uint32Array(0);
  #width = 0;
  draws = 0;
  /** What was taken from decoded pictures. */
  readonly areas: Rect[] = [];
  /** Cannot take decoded pictures. */
  refuses = false;
  /** Decoded pictures that wait to be painted. */
  prepared = 0;
  /** Every pixel read is changed. */
  isAltered = false;

  resize(picture: Picture): void {
    this.#width = picture.width;
    this.#pixels = new Uint32Array(picture.width * picture.height);
  }

  draw(picture: Picture, tiles: Iterable<number>): void {
    this.draws++;
    for (const tile of tiles) {
      const { x, y, width, height } = picture.tileRect(tile);
      for (let row = y; row < y + height; row++) {
        const at = row * this.#width + x;
        this.#pixels.set(picture.pixels.subarray(at, at + width), at);
      }
    }
  }

  /** A fake frame is one colour. */
  prepare(frame: DecodedFrame, area: Rect): Promise<Prepared> {
    if (!(frame instanceof FakeFrame)) throw new TypeError('a real frame in a fake world');
    const { colour } = frame;
    frame.close();
    this.areas.push(area);
    if (this.refuses) return Promise.reject(new Error('no such format'));
    this.prepared++;
    const drop = () => {
      this.prepared--;
    };
    const buffer = new Uint32Array([colour]).buffer;
    return Promise.resolve({ area, buffer, frame: null, drop });
  }

  paint(prepared: Prepared, x: number, y: number, rects: readonly Rect[]): void {
    const colour = new Uint32Array(prepared.buffer ?? new ArrayBuffer(4))[0] ?? 0;
    for (const rect of rects) {
      for (let row = y + rect.y; row < y + rect.y + rect.height; row++) {
        const at = row * this.#width + x + rect.x;
        this.#pixels.fill(colour, at, at + rect.width);
      }
    }
    prepared.drop();
  }

  /** The canvas is in another thread: what is drawn is there when `finish` is called. */
  isRemote = false;
  #unfinished: ((drawMs: number) => void)[] = [];

  done(run: (drawMs: number) => void): void {
    if (this.isRemote) this.#unfinished.push(run);
    else run(0);
  }

  finish(): void {
    for (const run of this.#unfinished.splice(0)) run(1);
  }

  /** What is read comes only when this is called. */
  #deliver: (() => void)[] | null = null;

  holdReads(): void {
    this.#deliver = [];
  }

  deliverReads(): void {
    for (const deliver of this.#deliver ?? []) deliver();
    this.#deliver = null;
  }

  read(area: Rect): Promise<Pixels> {
    const seen = this.#read(area);
    const held = this.#deliver;
    if (!held) return Promise.resolve(seen);
    return new Promise((done) => {
      held.push(() => {
        done(seen);
      });
    });
  }

  #read({ x, y, width, height }: Rect): Pixels {
    const out = new Uint32Array(width * height);
    for (let row = 0; row < height; row++) {
      const at = (y + row) * this.#width + x;
      out.set(this.#pixels.subarray(at, at + width), row * width);
    }
    if (this.isAltered) out.forEach((pixel, at) => (out[at] = pixel ^ 1));
    return { width, height, data: new Uint8ClampedArray(out.buffer) };
  }

  pixel(x: number, y: number): number {
    return this.#pixels[y * this.#width + x] ?? 0;
  }

  spoil(x: number, y: number): void {
    this.#pixels[y * this.#width + x] = 0xff00_00ff;
  }
}

/** A decoded picture of one colour. */
export class FakeFrame implements DecodedFrame {
  isClosed = false;
  readonly visibleRect: { x: number; y: number; width: number; height: number };

  constructor(
    readonly timestamp: number,
    readonly colour: number,
    width: number,
    height: number,
  ) {
    this.visibleRect = { x: 0, y: 0, width, height };
  }

  copyTo(): Promise<unknown> {
    return Promise.resolve();
  }

  close(): void {
    this.isClosed = true;
  }
}

/** Decodes a bitstream of four bytes, the colour. What it does wrong is set from outside. */
export class FakeDecoder implements Decoder {
  readonly chunks: Chunk[] = [];
  readonly configs: VideoDecoderConfig[] = [];
  readonly frames: FakeFrame[] = [];
  isClosed = false;
  /** Keeps so many pictures back. */
  holds = 0;
  isStuck = false;
  /** Gives pictures that are so much too small. */
  shrinks = 0;
  /** Never gives so many of the next pictures. */
  loses = 0;
  #held: Chunk[] = [];

  constructor(readonly events: DecoderEvents) {}

  configure(config: VideoDecoderConfig): void {
    this.configs.push(config);
  }

  decode(chunk: Chunk): void {
    if (this.isClosed) throw new Error('decoder is closed');
    this.chunks.push(chunk);
    this.#held.push(chunk);
    if (!this.isStuck) this.give(this.#held.length - this.holds);
  }

  /** Gives so many of the pictures it holds. */
  give(count = this.#held.length): void {
    for (const { timestamp, data } of this.#held.splice(0, Math.max(0, count))) {
      const colour = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
      const { codedWidth = 0, codedHeight = 0 } = this.configs.at(-1) ?? {};
      const frame = new FakeFrame(timestamp, colour, codedWidth - this.shrinks, codedHeight);
      if (this.loses-- > 0) continue;
      this.frames.push(frame);
      this.events.output(frame);
    }
  }

  close(): void {
    this.isClosed = true;
  }
}

interface Timer {
  at: number;
  run: () => void;
}

export class World {
  time = 0;
  answers: Attach[] = [];
  attaches = 0;
  /** What each attach asked for. */
  readonly records: boolean[] = [];
  recording: RecordingPolicy = 'off';
  readonly sockets: FakeSocket[] = [];
  readonly surface = new FakeSurface();
  readonly views: View[] = [];
  readonly samples: Sample[] = [];
  readonly slices: SliceChange[] = [];
  readonly decoders: FakeDecoder[] = [];
  /** What the browser decodes; null: it never says. */
  decodes: VideoCodec[] | null = ['h264', 'av1'];
  /** Set up each new decoder. */
  newDecoder: (decoder: FakeDecoder) => void = () => undefined;
  /** What the random numbers are. */
  luck = 0.5;
  #timers: Timer[] = [];
  session!: Session;

  static async start(size = { width: 128, height: 96 }): Promise<World> {
    const world = new World();
    const [code, zstd] = await Promise.all([PixelCode.load(), Zstd.load()]);
    const slices = await SliceDecoder.load(zstd);
    world.session = new Session(
      { desktop: 'd', size },
      { host: world.#host(), surface: world.surface, code, zstd, slices },
      {
        changed: (view) => world.views.push(view),
        cursor: () => undefined,
        resized: () => undefined,
        shown: (sample) => world.samples.push(sample),
        slice: (change) => world.slices.push(change),
      },
    );
    world.session.start();
    await world.settle();
    return world;
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error('nobody connected yet');
    return socket;
  }

  get exact(): string {
    return this.session.view.exact;
  }

  get decoder(): FakeDecoder {
    const decoder = this.decoders.at(-1);
    if (!decoder) throw new Error('nothing was decoded yet');
    return decoder;
  }

  /** Up to the agent's hello. */
  async greet(width = 128, height = 96): Promise<void> {
    this.socket.onopen?.(new Event('open'));
    this.socket.say(Kind.Gate, {
      type: 'welcome',
      desktop: 'd',
      desktop_name: 'analysis',
      user_name: 'li',
    });
    await this.settle();
    this.socket.say(Kind.Agent, {
      type: 'hello',
      version: 2,
      width,
      height,
      cache_slots: 8,
      width_max: 3840,
      height_max: 2160,
      layouts: ['us', 'de'],
    });
  }

  /** Lets promises of the session go on. */
  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }

  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.time = Math.max(this.time, next.at);
      next.run();
      await this.settle();
    }
    this.time = end;
  }

  #host(): Host {
    const later = (ms: number, run: () => void) => {
      const timer = { at: this.time + ms, run };
      this.#timers.push(timer);
      return () => {
        this.#timers = this.#timers.filter((t) => t !== timer);
      };
    };
    return {
      attach: (_, record) => {
        this.records.push(record);
        this.attaches++;
        const granted = { kind: 'granted', nonce: 'once', recording: this.recording } as const;
        return Promise.resolve(this.answers.shift() ?? granted);
      },
      connect: () => {
        const socket = new FakeSocket();
        this.sockets.push(socket);
        return socket;
      },
      codecs: () =>
        this.decodes ? Promise.resolve(this.#codecs(this.decodes)) : new Promise(() => undefined),
      now: () => this.time,
      random: () => this.luck,
      later,
      idle: (run) => later(1, run),
    };
  }

  #codecs(decodes: VideoCodec[]): Codecs {
    return {
      decodes: () => decodes,
      open: (events) => {
        const decoder = new FakeDecoder(events);
        this.newDecoder(decoder);
        this.decoders.push(decoder);
        return decoder;
      },
      config: (codec, _, { width, height }) => ({
        codec,
        codedWidth: width,
        codedHeight: height,
      }),
    };
  }
}
