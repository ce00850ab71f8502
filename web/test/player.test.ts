/** Recordings: their file, what is shown at which time, and going back and forth. */
import { describe, expect, it } from 'vitest';

import { Player } from '../src/player/player';
import { Reel } from '../src/player/reel';
import { PlayError, RangeSource, type Source } from '../src/player/source';
import { Tape } from '../src/player/tape';
import { PixelCode } from '../src/stream/pixels';
import { Flag, Kind } from '../src/stream/proto';
import { SliceDecoder } from '../src/stream/slices';
import type { Codecs } from '../src/stream/video';
import { Zstd } from '../src/stream/zstd';
import { message, tiles, video, type VideoParts } from './bytes';
import { FakeDecoder, FakeSurface } from './fake';

const text = new TextEncoder();
const START = '2026-01-02T03:04:05Z';
const RED = 0xff00_00ff;
const GREEN = 0xff00_ff00;
const BLACK = 0xff00_0000;
const BLUE = 0xffff_0000;

/** A recording as the gateway writes it. */
class File {
  readonly #parts: Uint8Array[] = [];

  constructor(head: unknown = { desktop_name: 'lab', user_name: 'ada', started: START }) {
    const json = text.encode(JSON.stringify(head));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, json.length, true);
    this.#parts.push(text.encode('BEAMREC\x01'), length, json);
  }

  add(ms: number, bytes: ArrayBuffer): this {
    const at = new Uint8Array(8);
    new DataView(at.buffer).setBigUint64(0, BigInt(Math.round(ms * 1000)), true);
    this.#parts.push(at, new Uint8Array(bytes));
    return this;
  }

  hello(ms = 0, width = 128, height = 96): this {
    return this.say(ms, {
      type: 'hello',
      version: 2,
      width,
      height,
      cache_slots: 4,
      width_max: 1000,
      height_max: 1000,
      layouts: [],
    });
  }

  say(ms: number, agent: unknown): this {
    return this.add(ms, message(Kind.Agent, 0, text.encode(JSON.stringify(agent))));
  }

  /** A tile of one colour, as a frame of its own. */
  tile(ms: number, frame: number, tile: number, rgb: readonly number[]): this {
    const edge = tile >= 2 ? 31 : 63;
    const payload = tiles(frame, [0, tile, 0, 0, 0, 63, edge, ...rgb]);
    return this.add(ms, message(Kind.Tiles, Flag.Last, payload));
  }

  video(ms: number, frame: number, parts: VideoParts): this {
    return this.add(ms, message(Kind.Video, Flag.Last, video(frame, parts)));
  }

  end(ms: number, reason = 'ended'): this {
    const json = JSON.stringify({ type: 'recording_end', reason }).padEnd(112, ' ');
    return this.add(ms, message(Kind.Gate, 0, text.encode(json)));
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

function memory(bytes: Uint8Array): Source {
  return {
    size: () => Promise.resolve(bytes.length),
    read: (at, length) =>
      Promise.resolve(at + length > bytes.length ? null : bytes.slice(at, at + length)),
  };
}

/** A player whose time goes by hand. */
class Cinema {
  time = 0;
  readonly surface = new FakeSurface();
  readonly decoders: FakeDecoder[] = [];
  #timers: { at: number; run: () => void }[] = [];
  reel!: Reel;
  player!: Player;

  /** With a decoder that takes so long. */
  static async open(file: File, decodeMs = 0): Promise<Cinema> {
    const cinema = new Cinema();
    const [code, zstd] = await Promise.all([PixelCode.load(), Zstd.load()]);
    const slices = await SliceDecoder.load(zstd);
    const later = (ms: number, run: () => void) => {
      const timer = { at: cinema.time + ms, run };
      cinema.#timers.push(timer);
      return () => {
        cinema.#timers = cinema.#timers.filter((one) => one !== timer);
      };
    };
    const now = () => cinema.time;
    const host = { now, later, random: () => 0.5, idle: (run: () => void) => later(1, run) };
    const codecs: Codecs = {
      decodes: () => ['h264'],
      open: (events) => {
        const decoder = new FakeDecoder(events);
        cinema.decoders.push(decoder);
        if (decodeMs > 0) {
          const decode = decoder.decode.bind(decoder);
          decoder.decode = (chunk) => {
            later(decodeMs, () => {
              decode(chunk);
            });
          };
        }
        return decoder;
      },
      config: (codec, _, { width, height }) => ({ codec, codedWidth: width, codedHeight: height }),
    };
    cinema.reel = new Reel(
      { surface: cinema.surface, code, zstd, slices, codecs, host },
      { changed: () => undefined, resized: () => undefined, slice: () => undefined },
    );
    const tape = await Tape.open(memory(file.bytes));
    cinema.player = new Player({ tape, reel: cinema.reel, host }, () => undefined);
    void cinema.player.run();
    await cinema.pass(1);
    return cinema;
  }

  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    await this.#settle();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.time = Math.max(this.time, due.at);
      this.#timers = this.#timers.filter((timer) => timer !== due);
      due.run();
      await this.#settle();
    }
    this.time = end;
    await this.#settle();
  }

  async seek(ms: number): Promise<void> {
    this.player.seek(ms);
    for (let turns = 0; this.player.view.seeking !== null; turns++) {
      if (turns > 1000) throw new Error('it never arrives');
      await this.pass(1);
    }
  }

  /** A pixel of each of the four tiles. */
  get colours(): number[] {
    return [this.surface.pixel(1, 1), this.surface.pixel(65, 1)].concat([
      this.surface.pixel(1, 65),
      this.surface.pixel(65, 65),
    ]);
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < 60; i++) await Promise.resolve();
  }
}

const red = [255, 0, 0];
const green = [0, 255, 0];
const blue = [0, 0, 255];

/** What the desktop would say of these frames. */
async function rootAt(file: File, ms: number): Promise<string> {
  const cinema = await Cinema.open(file);
  await cinema.seek(ms);
  return cinema.reel.root();
}

describe('the file', () => {
  it('is taken apart into its head, its messages and its length', async () => {
    const file = new File().hello(5).tile(17, 1, 0, red).end(2500);
    const tape = await Tape.open(memory(file.bytes));
    expect(tape.head).toEqual({ desktopName: 'lab', userName: 'ada', started: START });
    expect(tape.durationUs).toBe(2_500_000);
    const first = await tape.record(tape.begin);
    expect(first?.atUs).toBe(5000);
    const second = await tape.record(first?.next ?? 0);
    expect(second?.atUs).toBe(17_000);
    expect(new Uint8Array(second?.message ?? new ArrayBuffer(0))[0]).toBe(Kind.Tiles);
    expect(await tape.record(second?.next ?? 0)).toBeNull();
  });

  it('that was cut off anywhere is read up to its last whole message', async () => {
    const whole = new File().hello(5).tile(17, 1, 0, red).end(2500).bytes;
    const { begin } = await Tape.open(memory(whole));
    for (let cut = 0; cut < whole.length; cut += 3) {
      const opening = Tape.open(memory(whole.subarray(0, cut)));
      if (cut < begin) {
        await expect(opening).rejects.toThrow(PlayError);
        continue;
      }
      const tape = await opening;
      expect(tape.durationUs).toBeNull();
      let at = tape.begin;
      for (;;) {
        const record = await tape.record(at);
        if (!record) break;
        at = record.next;
      }
      expect(at).toBeLessThanOrEqual(cut);
    }
  });

  it.each([
    ['noise', Uint8Array.from({ length: 300 }, (_, i) => (i * 37) & 255)],
    ['a newer version', new File().bytes.map((byte, at) => (at === 7 ? 2 : byte))],
    ['a head too long', new File().bytes.map((byte, at) => (at === 11 ? 0xff : byte))],
    ['a head without names', new File({ desktop_name: 'lab' }).bytes],
    ['a head that is a list', new File([]).bytes],
  ])('that is %s is refused', async (_, bytes) => {
    await expect(Tape.open(memory(bytes))).rejects.toThrow(PlayError);
  });

  it('with a message beyond all bounds is refused there', async () => {
    const file = new File().hello(0).bytes;
    const long = new Uint8Array(file.length + 16);
    long.set(file);
    long.fill(0xff, file.length + 8);
    const tape = await Tape.open(memory(long));
    const first = await tape.record(tape.begin);
    await expect(tape.record(first?.next ?? 0)).rejects.toThrow(PlayError);
  });
});

describe('fetching', () => {
  const PIECE = 2 << 20;

  function server(bytes: Uint8Array) {
    const asked: string[] = [];
    const answer = (range: string): Response => {
      asked.push(range);
      const [, from = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
      const body = bytes.slice(Number(from), Number(last) + 1);
      const headers = { 'Content-Range': `bytes ${from}-${last}/${bytes.length}` };
      return new Response(body, { status: 206, headers });
    };
    const by: typeof fetch = (_, init) => {
      const range = (init?.headers as Record<string, string> | undefined)?.Range ?? '';
      return Promise.resolve(answer(range));
    };
    return { asked, source: new RangeSource('/r/x/file', by) };
  }

  it('asks for a piece once, and gives what lies across two', async () => {
    const bytes = Uint8Array.from({ length: 5_000_000 }, (_, i) => (i * 31) >> 3);
    const { asked, source } = server(bytes);
    expect(await source.size()).toBe(bytes.length);
    expect(await source.read(PIECE - 5, 10)).toEqual(bytes.slice(PIECE - 5, PIECE + 5));
    expect(await source.read(4_999_990, 10)).toEqual(bytes.slice(4_999_990));
    expect(await source.read(4_999_991, 10)).toBeNull();
    await source.read(3, 4);
    expect(new Set(asked).size).toBe(asked.length);
    expect(asked).toHaveLength(4);
  });

  it.each([
    [403, 'refused'],
    [404, 'refused'],
    [503, 'unreachable'],
    [200, 'unreachable'],
  ])('says of an answer %i that it is %s', async (status, trouble) => {
    const by = () => Promise.resolve(new Response('', { status }));
    const failed = await new RangeSource('/r/x/file', by).size().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(PlayError);
    expect((failed as PlayError).trouble).toBe(trouble);
  });

  it('tries again after a failure', async () => {
    const bytes = new Uint8Array(100).fill(7);
    let fails = true;
    const by: typeof fetch = (_, init) => {
      const isFirst = (init?.headers as Record<string, string>).Range === 'bytes=0-0';
      if (fails && !isFirst) return Promise.reject(new TypeError('offline'));
      const headers = { 'Content-Range': 'bytes 0-0/100' };
      return Promise.resolve(new Response(isFirst ? 'x' : bytes, { status: 206, headers }));
    };
    const source = new RangeSource('/r/x/file', by);
    await expect(source.read(0, 4)).rejects.toThrow(PlayError);
    fails = false;
    expect(await source.read(0, 4)).toEqual(bytes.slice(0, 4));
  });
});

describe('playing', () => {
  const file = () =>
    new File().hello().tile(0, 1, 0, red).tile(1000, 2, 1, green).tile(2000, 3, 0, blue).end(3000);

  it('shows the beginning, and each frame when it is due', async () => {
    const cinema = await Cinema.open(file());
    expect(cinema.colours).toEqual([RED, BLACK, BLACK, BLACK]);
    await cinema.pass(5000);
    expect(cinema.player.view).toMatchObject({ isPlaying: false, positionMs: 0 });
    cinema.player.play();
    await cinema.pass(990);
    expect(cinema.colours).toEqual([RED, BLACK, BLACK, BLACK]);
    expect(cinema.player.view.positionMs).toBeCloseTo(990, -1);
    await cinema.pass(20);
    expect(cinema.colours).toEqual([RED, GREEN, BLACK, BLACK]);
    await cinema.pass(1000);
    expect(cinema.colours).toEqual([BLUE, GREEN, BLACK, BLACK]);
    await cinema.pass(1000);
    expect(cinema.player.view).toMatchObject({ isAtEnd: true, isPlaying: false });
    expect(cinema.player.view.positionMs).toBe(3000);
  });

  it('stands still while paused, and begins anew after the end', async () => {
    const cinema = await Cinema.open(file());
    cinema.player.play();
    await cinema.pass(500);
    cinema.player.pause();
    await cinema.pass(5000);
    expect(cinema.player.view.positionMs).toBeCloseTo(500, -1);
    expect(cinema.colours).toEqual([RED, BLACK, BLACK, BLACK]);
    cinema.player.play();
    await cinema.pass(4000);
    expect(cinema.player.view.isAtEnd).toBe(true);
    cinema.player.play();
    await cinema.pass(100);
    expect(cinema.player.view).toMatchObject({ isAtEnd: false, isPlaying: true });
    expect(cinema.colours).toEqual([RED, BLACK, BLACK, BLACK]);
  });

  it('goes as fast as it is told', async () => {
    const cinema = await Cinema.open(file());
    cinema.player.setSpeed(8);
    cinema.player.play();
    await cinema.pass(130);
    expect(cinema.colours).toEqual([RED, GREEN, BLACK, BLACK]);
    cinema.player.setSpeed(0.5);
    await cinema.pass(1000);
    expect(cinema.player.view.positionMs).toBeCloseTo(1540, -2);
    expect(cinema.colours).toEqual([RED, GREEN, BLACK, BLACK]);
  });

  it('plays what was cut off to its end', async () => {
    const whole = new File().hello().tile(0, 1, 0, red).tile(500, 2, 1, green);
    const cinema = await Cinema.open(whole);
    cinema.player.play();
    await cinema.pass(1000);
    expect(cinema.colours).toEqual([RED, GREEN, BLACK, BLACK]);
    expect(cinema.player.view).toMatchObject({ isAtEnd: true, positionMs: 500, durationMs: 500 });
  });

  it.each([
    ['a tile outside the picture', (f: File) => f.tile(10, 2, 200, red)],
    ['a picture before the hello', (f: File) => f, true],
    ['a message of the viewer', (f: File) => f.add(10, message(Kind.Ack, 0, new Uint8Array(14)))],
    ['a message cut short', (f: File) => f.add(10, message(Kind.Tiles, 0, new Uint8Array(3)))],
  ])('stops at %s and says so', async (_, damage, isBare = false) => {
    const begun = isBare ? new File().tile(0, 1, 0, red) : new File().hello().tile(0, 1, 0, red);
    const cinema = await Cinema.open(damage(begun).tile(20, 3, 0, blue).end(100));
    cinema.player.play();
    await cinema.pass(500);
    expect(cinema.player.view).toMatchObject({ trouble: 'broken', isPlaying: false });
    await cinema.seek(50);
    expect(cinema.player.view.trouble).toBe('broken');
  });
});

describe('checksums', () => {
  it('are counted right and wrong, once each', async () => {
    const frames = () => new File().hello().tile(0, 1, 0, red);
    const root = await rootAt(frames().end(10), 10);
    const file = frames()
      .say(20, { type: 'exact', frame: 1, root })
      .tile(30, 2, 1, green)
      .say(40, { type: 'exact', frame: 2, root: '0000000000000001' })
      .end(50);
    const cinema = await Cinema.open(file);
    await cinema.seek(20);
    expect(cinema.reel.checks).toEqual({ right: 1, wrong: 0 });
    await cinema.pass(50);
    expect(cinema.reel.exact).toBe('exact');
    await cinema.seek(50);
    expect(cinema.reel.checks).toEqual({ right: 1, wrong: 1 });
    expect(cinema.reel.exact).toBe('broken');
    await cinema.seek(0);
    await cinema.seek(50);
    expect(cinema.reel.checks).toEqual({ right: 1, wrong: 1 });
  });

  it('hold though the decoder of a video takes its time', async () => {
    const frames = () =>
      new File()
        .hello()
        .video(10, 1, { key: true, mask: [0b1111] })
        .tile(11, 2, 0, red)
        .tile(12, 3, 1, red)
        .tile(13, 4, 2, red)
        .tile(14, 5, 3, red);
    const root = await rootAt(frames().end(15), 15);
    const file = frames().say(15, { type: 'exact', frame: 5, root }).end(50);
    const cinema = await Cinema.open(file, 40);
    await cinema.seek(50);
    await cinema.pass(50);
    expect(cinema.reel.checks).toEqual({ right: 1, wrong: 0 });
    expect(cinema.reel.exact).toBe('exact');
    expect(cinema.colours).toEqual([RED, RED, RED, RED]);
  });

  it('say nothing of a canvas that reads back wrong', async () => {
    const frames = () => new File().hello().tile(0, 1, 0, red);
    const root = await rootAt(frames().end(10), 10);
    const cinema = await Cinema.open(frames().say(20, { type: 'exact', frame: 1, root }).end(50));
    cinema.surface.isAltered = true;
    await cinema.seek(50);
    await cinema.pass(50);
    expect(cinema.reel.exact).toBe('broken');
  });
});

describe('seeking', () => {
  /** A frame each 100 ms, now and then at rest; with its colours at each time. */
  async function long(withVideo: boolean) {
    const plain = new File().hello();
    const file = new File().hello();
    const seen: { ms: number; colours: number[] }[] = [];
    let held = [BLACK, BLACK, BLACK, BLACK];
    let shown = [...held];
    let frame = 0;
    const put = async (ms: number, tile: number, rgb: readonly number[], colour: number) => {
      frame++;
      plain.tile(ms, frame, tile, rgb);
      file.tile(ms, frame, tile, rgb);
      held = held.with(tile, colour);
      shown = shown.with(tile, colour);
      if (ms % 1000 === 0 && shown.every((one, at) => one === held[at])) {
        const root = await rootAt(new FileCopy(plain), ms);
        plain.say(ms, { type: 'exact', frame, root });
        file.say(ms, { type: 'exact', frame, root });
      }
    };
    for (let ms = 0; ms < 20_000; ms += 100) {
      const step = ms / 100;
      const [rgb, colour] = [[red, RED] as const, [green, GREEN] as const, [blue, BLUE] as const][
        step % 3
      ] ?? [red, RED];
      // Video over two tiles in the middle of each five seconds, its key frame only at the first.
      if (withVideo && ms % 5000 >= 2000 && ms % 5000 < 3000) {
        frame++;
        const colour = (0xff00_0000 | (step * 7919)) >>> 0;
        file.video(ms, frame, { key: ms === 2000, colour, mask: [0b0011] });
        plain.tile(ms, frame, 3, [0, 0, 0]);
        shown = [colour, colour, shown[2] ?? 0, shown[3] ?? 0];
        held = held.with(3, held[3] ?? 0);
      } else if (withVideo && ms % 5000 === 3000) {
        // Then it is made exact again.
        await put(ms, 0, rgb, colour);
        await put(ms + 10, 1, rgb, colour);
      } else {
        await put(ms, step % 2, rgb, colour);
      }
      seen.push({ ms, colours: [...shown] });
    }
    return { file: file.end(20_000), seen };
  }

  it.each([
    ['stills', false],
    ['stills and video', true],
  ])(
    'anywhere in %s shows what was there at that time',
    async (_, withVideo) => {
      const { file, seen } = await long(withVideo);
      const cinema = await Cinema.open(file);
      let seed = 7;
      for (let turn = 0; turn < 60; turn++) {
        seed = (seed * 1103515245 + 12345) & 0x7fff_ffff;
        const at = seen[seed % seen.length];
        if (!at) throw new Error('no such time');
        await cinema.seek(at.ms + 50);
        expect(cinema.colours, `at ${at.ms}`).toEqual(at.colours);
        expect(cinema.player.view.positionMs).toBeCloseTo(at.ms + 50, 0);
        expect(cinema.reel.checks.wrong).toBe(0);
      }
      // And it plays on from there as if it had come by playing.
      await cinema.seek(1500);
      cinema.player.play();
      for (const { ms, colours } of seen.filter(({ ms }) => ms >= 1600 && ms < 9000)) {
        await cinema.pass(ms + 50 - cinema.player.view.positionMs);
        expect(cinema.colours, `playing at ${ms}`).toEqual(colours);
      }
    },
    30_000,
  );

  it('back goes to a rest that was kept, not to the beginning', async () => {
    const { file } = await long(false);
    const cinema = await Cinema.open(file);
    await cinema.seek(20_000);
    let draws = cinema.surface.draws;
    await cinema.seek(19_950);
    draws = cinema.surface.draws - draws;
    expect(draws).toBeLessThan(5);
  });

  it('to the last millisecond takes in what stands behind it', async () => {
    const file = new File().hello().tile(0, 1, 0, red).tile(99.7, 2, 1, green).end(99.7);
    const cinema = await Cinema.open(file);
    await cinema.seek(99);
    expect(cinema.colours).toEqual([RED, GREEN, BLACK, BLACK]);
    expect(cinema.player.view.isAtEnd).toBe(true);
  });

  it('to another place on the way there goes there', async () => {
    const { file, seen } = await long(false);
    const cinema = await Cinema.open(file);
    cinema.player.seek(20_000);
    await cinema.pass(0);
    cinema.player.seek(150);
    await cinema.seek(3050);
    expect(cinema.colours).toEqual(seen.find(({ ms }) => ms === 3000)?.colours);
  });

  it('beyond both ends stays within', async () => {
    const { file } = await long(false);
    const cinema = await Cinema.open(file);
    await cinema.seek(1e9);
    expect(cinema.player.view).toMatchObject({ isAtEnd: true, positionMs: 20_000 });
    await cinema.seek(-5);
    expect(cinema.player.view).toMatchObject({ isAtEnd: false, positionMs: 0 });
  });
});

/** What was written until now, to which nothing more is added. */
class FileCopy extends File {
  readonly #copy: Uint8Array<ArrayBuffer>;

  constructor(file: File) {
    super();
    this.#copy = file.bytes;
  }

  override get bytes(): Uint8Array<ArrayBuffer> {
    return this.#copy;
  }
}
