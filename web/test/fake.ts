/** A world for a session without browser, network or time: everything is done by hand. */
import type { Attach } from '../src/stream/attach';
import type { Surface } from '../src/stream/canvas';
import { loadHash } from '../src/stream/hash';
import type { Picture, Pixels, Rect } from '../src/stream/picture';
import { HEADER_BYTES, Kind, type ViewerMessage } from '../src/stream/proto';
import { type Host, Session, type Socket, type View } from '../src/stream/session';
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
    this.isClosed = true;
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

  read({ x, y, width, height }: Rect): Pixels {
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

interface Timer {
  at: number;
  run: () => void;
}

export class World {
  time = 0;
  answers: Attach[] = [];
  attaches = 0;
  readonly sockets: FakeSocket[] = [];
  readonly surface = new FakeSurface();
  readonly views: View[] = [];
  /** What the random numbers are. */
  luck = 0.5;
  #timers: Timer[] = [];
  session!: Session;

  static async start(size = { width: 128, height: 96 }): Promise<World> {
    const world = new World();
    const [hash, zstd] = await Promise.all([loadHash(), Zstd.load()]);
    world.session = new Session(
      { desktop: 'd', size },
      { host: world.#host(), surface: world.surface, hash, zstd },
      {
        changed: (view) => world.views.push(view),
        cursor: () => undefined,
        resized: () => undefined,
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

  /** Up to the agent's hello. */
  greet(width = 128, height = 96): void {
    this.socket.onopen?.(new Event('open'));
    this.socket.say(Kind.Gate, {
      type: 'welcome',
      desktop: 'd',
      desktop_name: 'analysis',
      user_name: 'li',
    });
    this.socket.say(Kind.Agent, {
      type: 'hello',
      version: 1,
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
      attach: () => {
        this.attaches++;
        return Promise.resolve(this.answers.shift() ?? { kind: 'granted', nonce: 'once' });
      },
      connect: () => {
        const socket = new FakeSocket();
        this.sockets.push(socket);
        return socket;
      },
      now: () => this.time,
      random: () => this.luck,
      later,
      idle: (run) => later(1, run),
    };
  }
}
