/** Video in a viewer's stream, with a decoder that does what it is told, right or wrong. */
import { describe, expect, it } from 'vitest';

import { Flag, Kind } from '../src/stream/proto';
import { message, tiles, video, type VideoParts } from './bytes';
import { type FakeDecoder, FakeFrame, World } from './fake';

const BLACK = 0xff00_0000;
const RED = 0xff00_00ff;
const GREEN = 0xff00_ff00;
const BLUE = 0xffff_0000;

/** A red square of 4 by 4 at the corner of a tile. */
const square = (frame: number, tile = 0) =>
  message(Kind.Tiles, Flag.Last, tiles(frame, [0, tile, 0, 0, 0, 3, 3, 255, 0, 0]));
const picture = (frame: number, parts: VideoParts = {}) =>
  message(Kind.Video, parts.goesOn ? 0 : Flag.Last, video(frame, parts));

class Motion {
  private constructor(readonly world: World) {}

  static async start(newDecoder: (decoder: FakeDecoder) => void = () => undefined) {
    const world = await World.start();
    world.newDecoder = newDecoder;
    await world.greet();
    return new Motion(world);
  }

  async video(frame: number, parts: VideoParts = {}): Promise<void> {
    this.world.socket.receive(picture(frame, parts));
    await this.world.settle();
  }

  async square(frame: number, tile = 0): Promise<void> {
    this.world.socket.receive(square(frame, tile));
    await this.world.settle();
  }

  /** Numbers of the frames acknowledged, and of how many tiles each. */
  get acked(): [number, number][] {
    return this.world.socket.acks.map((ack) => {
      const view = new DataView(ack.buffer);
      return [view.getUint32(0, true), view.getUint16(12, true)];
    });
  }

  get ackedFrames(): number[] {
    return this.acked.map(([frame]) => frame);
  }

  said(type: string): unknown[] {
    return this.world.socket.said.filter((told) => told.type === type);
  }

  pixel(x: number, y: number): number {
    return this.world.surface.pixel(x, y);
  }

  /** Every decoded picture was given back, and none waits to be painted. */
  expectNothingKept(): void {
    const frames = this.world.decoders.flatMap((decoder) => decoder.frames);
    expect(frames.filter((frame) => !frame.isClosed)).toEqual([]);
    expect(this.world.surface.prepared).toBe(0);
  }
}

describe('a video frame', () => {
  it('is painted where its mask allows, and acknowledged without tiles', async () => {
    const motion = await Motion.start();
    const root = motion.world.session.root();
    await motion.video(1, { key: true, mask: [0b0110] });
    expect(motion.pixel(0, 0)).toBe(BLACK);
    expect(motion.pixel(64, 0)).toBe(GREEN);
    expect(motion.pixel(127, 63)).toBe(GREEN);
    expect(motion.pixel(0, 64)).toBe(GREEN);
    expect(motion.pixel(64, 64)).toBe(BLACK);
    expect(motion.acked).toEqual([[1, 0]]);
    // What is held stays as it was.
    expect(motion.world.session.root()).toBe(root);
    motion.expectNothingKept();
  });

  it('lies at tiles, and is cropped to its size where the decoded picture is larger', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true, x: 64, y: 0, width: 30, height: 20, mask: [1] });
    expect(motion.pixel(64, 0)).toBe(GREEN);
    expect(motion.pixel(93, 19)).toBe(GREEN);
    expect(motion.pixel(94, 0)).toBe(BLACK);
    expect(motion.pixel(64, 20)).toBe(BLACK);
  });

  it('is copied only where it may be painted, and not at all where it may not', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true, mask: [0b0010] });
    expect(motion.world.surface.areas).toEqual([{ x: 64, y: 0, width: 64, height: 64 }]);
    await motion.video(2, { mask: [0b1001] });
    expect(motion.world.surface.areas[1]).toEqual({ x: 0, y: 0, width: 128, height: 96 });
    await motion.video(3, { mask: [0] });
    expect(motion.world.surface.areas).toHaveLength(2);
    expect(motion.ackedFrames).toEqual([1, 2, 3]);
    motion.expectNothingKept();
  });

  it('takes the word exact away until tiles have replaced it', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    await motion.square(1);
    const claim = (frame: number) => {
      world.socket.say(Kind.Agent, { type: 'exact', frame, root: world.session.root() });
    };
    claim(1);
    await world.pass(10);
    expect(world.exact).toBe('exact');
    await motion.video(2, { key: true });
    expect(world.exact).toBe('catching_up');
    claim(1);
    await world.pass(10);
    expect(world.exact).toBe('catching_up');
    // A claim that is wrong about what is shown is found by looking.
    claim(2);
    await world.pass(10);
    expect(world.exact).toBe('broken');
  });

  it('may come in several messages', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true, goesOn: true });
    expect(motion.acked).toEqual([]);
    await motion.video(1, { key: true, goesOn: true, colour: BLUE });
    await motion.video(1, { key: true, colour: RED });
    expect(motion.world.decoder.chunks[0]?.data).toHaveLength(12);
    expect(motion.ackedFrames).toEqual([1]);
  });

  it('is acknowledged when the canvas of another thread has it', async () => {
    const motion = await Motion.start();
    motion.world.surface.isRemote = true;
    await motion.video(1, { key: true });
    await motion.square(2);
    expect(motion.acked).toEqual([]);
    motion.world.surface.finish();
    expect(motion.ackedFrames).toEqual([1, 2]);
    expect(motion.world.samples.map(({ frame, drawMs }) => [frame, drawMs])).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });
});

describe('the order of frames', () => {
  it('is kept: exact tiles that came after a video are drawn after it', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    await motion.video(1, { key: true });
    await motion.square(2);
    await motion.square(3, 1);
    expect(motion.acked).toEqual([]);
    expect(motion.pixel(0, 0)).not.toBe(RED);
    motion.world.decoder.give();
    await motion.world.settle();
    expect(motion.acked).toEqual([
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
    expect(motion.pixel(0, 0)).toBe(RED);
    expect(motion.pixel(64, 0)).toBe(RED);
    expect(motion.pixel(4, 0)).toBe(BLACK); // The tile as held covers the video's pixels.
    expect(motion.pixel(0, 64)).toBe(GREEN);
  });

  it('does not change what was held when a frame came: each hash is of its own time', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    const { world } = motion;
    await motion.video(1, { key: true });
    await motion.square(2);
    const expected = world.session.root();
    // The same tile again, in another colour.
    const again = tiles(3, [0, 0, 0, 0, 0, 3, 3, 1, 2, 3]);
    world.socket.receive(message(Kind.Tiles, Flag.Last, again));
    expect(world.session.root()).not.toBe(expected);
    world.decoder.give();
    await world.settle();
    const hashes = world.socket.acks
      .slice(1)
      .map((ack) => new DataView(ack.buffer).getBigUint64(16, true));
    expect(new Set(hashes).size).toBe(2);
  });
});

describe('a decoder', () => {
  it('gets at most eight pictures at a time, the others as it gives some', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    for (let frame = 1; frame <= 12; frame++) await motion.video(frame, { key: frame === 1 });
    expect(motion.world.decoder.chunks).toHaveLength(8);
    motion.world.decoder.give(3);
    await motion.world.settle();
    expect(motion.world.decoder.chunks).toHaveLength(11);
    motion.world.decoder.give();
    await motion.world.settle();
    motion.world.decoder.give();
    await motion.world.settle();
    expect(motion.ackedFrames).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  it('gets no more while a page that stands still has not painted what there is', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    world.surface.isRemote = true;
    for (let frame = 1; frame <= 40; frame++) await motion.video(frame, { key: frame === 1 });
    // Eight are with the page, eight more are ready for it.
    expect(world.decoder.chunks).toHaveLength(16);
    expect(world.surface.prepared).toBe(8);
    for (let i = 0; i < 8; i++) {
      world.surface.finish();
      await world.settle();
    }
    expect(motion.ackedFrames).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    motion.expectNothingKept();
  });

  it('whose pictures a page has not painted gives them all back when the stream breaks', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    world.surface.isRemote = true;
    for (let frame = 1; frame <= 20; frame++) await motion.video(frame, { key: frame === 1 });
    world.socket.onclose?.(new Event('close') as CloseEvent);
    motion.expectNothingKept();
  });

  it('is set up again for another size, and anew for another codec', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true });
    await motion.video(2, { key: true, width: 64, height: 64, mask: [1] });
    expect(motion.world.decoders).toHaveLength(1);
    expect(motion.world.decoder.configs).toHaveLength(2);
    await motion.video(3, { key: true, codec: 4 });
    expect(motion.world.decoders).toHaveLength(2);
    expect(motion.world.decoders[0]?.isClosed).toBe(true);
    expect(motion.ackedFrames).toEqual([1, 2, 3]);
  });

  it('is closed with all its pictures when the stream breaks, and used anew after', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    const { world } = motion;
    await motion.video(1, { key: true });
    await motion.video(2);
    const first = world.decoder;
    world.socket.onclose?.(new Event('close') as CloseEvent);
    expect(first.isClosed).toBe(true);
    first.give(); // Too late.
    await world.settle();
    world.newDecoder = () => undefined;
    await world.pass(1000);
    await world.greet();
    expect(world.socket.acks).toEqual([]);
    await motion.video(1, { key: true });
    expect(motion.ackedFrames).toEqual([1]);
    motion.expectNothingKept();
  });

  it('paints nothing of a picture of the size before', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    const { world } = motion;
    await motion.video(1, { key: true });
    world.socket.say(Kind.Agent, { type: 'resized', width: 96, height: 64 });
    world.decoder.give();
    await world.settle();
    expect(motion.ackedFrames).toEqual([1]);
    await motion.square(2);
    expect(motion.pixel(70, 10)).toBe(BLACK);
    motion.expectNothingKept();
  });

  it('owes nothing to the stream after it, not even what the canvas has still to draw', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    world.surface.isRemote = true;
    await motion.video(1, { key: true });
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(1000);
    await world.greet();
    world.surface.finish();
    expect(motion.acked).toEqual([]);
    expect(world.samples).toEqual([]);
  });

  it('that was given a picture when the stream breaks gives it back', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    const { world } = motion;
    await motion.video(1, { key: true });
    world.decoder.give();
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.settle();
    motion.expectNothingKept();
  });

  it('may give a picture twice: the second is thrown away', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true });
    const { decoder } = motion.world;
    const again = new FakeFrame(decoder.chunks[0]?.timestamp ?? 0, RED, 128, 96);
    decoder.frames.push(again);
    decoder.events.output(again);
    await motion.world.settle();
    expect(motion.pixel(0, 0)).toBe(GREEN);
    expect(motion.ackedFrames).toEqual([1]);
    motion.expectNothingKept();
  });
});

describe('a decoder that fails', () => {
  const failed = { type: 'video_failed', codec: 'h264' };

  it('in mid-stream is told, what it owes is acknowledged in order, and the stream goes on', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    await motion.video(1, { key: true });
    world.decoder.isStuck = true;
    await motion.video(2);
    await motion.square(3);
    await motion.video(4);
    expect(motion.ackedFrames).toEqual([1]);
    world.decoder.events.error(new Error('broken bitstream'));
    await world.settle();
    expect(motion.said('video_failed')).toEqual([failed]);
    expect(motion.acked).toEqual([
      [1, 0],
      [2, 0],
      [3, 1],
      [4, 0],
    ]);
    expect(world.decoder.isClosed).toBe(true);
    // What was under way when the agent heard of it.
    await motion.video(5);
    await motion.square(6);
    expect(motion.ackedFrames).toEqual([1, 2, 3, 4, 5, 6]);
    expect(motion.said('video_failed')).toHaveLength(1);
    expect(world.decoders).toHaveLength(1);
    // Another codec still may.
    await motion.video(7, { key: true, codec: 4, colour: BLUE });
    expect(motion.pixel(127, 95)).toBe(BLUE);
    motion.expectNothingKept();
    // A new stream may try again.
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(1000);
    await world.greet();
    await motion.video(1, { key: true });
    expect(motion.pixel(0, 0)).toBe(GREEN);
  });

  it('by holding a picture back is found after half a second of silence', async () => {
    const motion = await Motion.start((decoder) => (decoder.holds = 1));
    for (let frame = 1; frame <= 5; frame++) {
      await motion.video(frame, { key: frame === 1 });
      await motion.world.pass(16);
    }
    expect(motion.ackedFrames).toEqual([1, 2, 3, 4]);
    await motion.world.pass(480);
    expect(motion.said('video_failed')).toEqual([]);
    await motion.world.pass(20);
    expect(motion.said('video_failed')).toEqual([failed]);
    expect(motion.ackedFrames).toEqual([1, 2, 3, 4, 5]);
  });

  it('is not blamed for a thread that stood still', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    await motion.video(1, { key: true });
    motion.world.time += 5000;
    await motion.world.pass(0);
    expect(motion.said('video_failed')).toEqual([]);
    motion.world.decoder.give();
    await motion.world.settle();
    await motion.world.pass(5000);
    expect(motion.said('video_failed')).toEqual([]);
    expect(motion.ackedFrames).toEqual([1]);
  });

  it('by giving pictures of a wrong size is found', async () => {
    const motion = await Motion.start((decoder) => (decoder.shrinks = 16));
    await motion.video(1, { key: true });
    expect(motion.said('video_failed')).toEqual([failed]);
    expect(motion.ackedFrames).toEqual([1]);
    expect(motion.pixel(0, 0)).toBe(BLACK);
    motion.expectNothingKept();
  });

  it('to give a picture that can be copied is found', async () => {
    const motion = await Motion.start();
    motion.world.surface.refuses = true;
    await motion.video(1, { key: true });
    expect(motion.said('video_failed')).toEqual([failed]);
    expect(motion.ackedFrames).toEqual([1]);
    motion.expectNothingKept();
  });

  it('to be set up at all is found', async () => {
    const motion = await Motion.start((decoder) => {
      decoder.configure = () => {
        throw new TypeError('no such codec');
      };
    });
    await motion.video(1, { key: true });
    expect(motion.said('video_failed')).toEqual([failed]);
    expect(motion.ackedFrames).toEqual([1]);
  });

  it('was never offered: the agent is told so', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true, codec: 5 });
    await motion.video(2, { codec: 5 });
    expect(motion.said('video_failed')).toEqual([{ type: 'video_failed', codec: 'hevc' }]);
    expect(motion.ackedFrames).toEqual([1, 2]);
  });

  it('to know a codec of tomorrow only leaves it out', async () => {
    const motion = await Motion.start();
    await motion.video(1, { key: true, codec: 99 });
    expect(motion.said('video_failed')).toEqual([]);
    expect(motion.ackedFrames).toEqual([1]);
  });

  it('because the browser took it from an idle page only needs a key frame', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    await motion.video(1, { key: true });
    world.decoder.isStuck = true;
    await motion.video(2);
    const taken = new Error('codec reclaimed due to inactivity');
    taken.name = 'QuotaExceededError';
    world.decoder.events.error(taken);
    await world.settle();
    expect(motion.ackedFrames).toEqual([1, 2]);
    await motion.video(3);
    await motion.video(4);
    expect(motion.said('key_frame')).toHaveLength(1);
    await motion.video(5, { key: true, colour: BLUE });
    expect(motion.pixel(0, 0)).toBe(BLUE);
    expect(motion.ackedFrames).toEqual([1, 2, 3, 4, 5]);
    expect(motion.said('video_failed')).toEqual([]);
  });

  it('leaves a picture out: the next one does not wait for it', async () => {
    const motion = await Motion.start();
    const { world } = motion;
    await motion.video(1, { key: true });
    world.decoder.isStuck = true;
    await motion.video(2);
    await motion.video(3, { colour: BLUE });
    const { decoder } = world;
    const second = decoder.frames.length;
    decoder.give();
    expect(decoder.frames).toHaveLength(second + 2);
    await world.settle();
    expect(motion.ackedFrames).toEqual([1, 2, 3]);
    // Now really: of two, only the second comes.
    decoder.isStuck = true;
    await motion.video(4);
    await motion.video(5, { colour: RED });
    decoder.loses = 1;
    decoder.give();
    await world.settle();
    expect(motion.ackedFrames).toEqual([1, 2, 3, 4, 5]);
    expect(motion.pixel(0, 0)).toBe(RED);
  });
});

describe('a stream that begins without a key frame', () => {
  it('asks for one, once', async () => {
    const motion = await Motion.start();
    await motion.video(1);
    await motion.video(2);
    expect(motion.said('key_frame')).toHaveLength(1);
    expect(motion.ackedFrames).toEqual([1, 2]);
  });
});

describe('bad video', () => {
  const flags = { last: Flag.Last, none: 0 };
  const bad: [string, ArrayBuffer[]][] = [
    ['cut short', [message(Kind.Video, flags.last, video(1).subarray(0, 23))]],
    ['without its mask', [message(Kind.Video, flags.last, video(1).subarray(0, 24))]],
    ['with a mask of another size', [picture(1, { key: true, mask: [1, 0] })]],
    ['off the tiles', [picture(1, { key: true, x: 3 })]],
    ['of no size', [picture(1, { key: true, width: 0, mask: [] })]],
    ['outside the picture', [picture(1, { key: true, x: 64 })]],
    ['far outside the picture', [picture(1, { key: true, y: 65_472 })]],
    ['that ends without saying so', [message(Kind.Video, flags.none, video(1, { key: true }))]],
    ['that goes on after its end', [message(Kind.Video, flags.last, video(1, { goesOn: true }))]],
    ['of two pictures mixed', [picture(1, { goesOn: true }), picture(2)]],
    ['of two sizes mixed', [picture(1, { goesOn: true }), picture(1, { width: 64, mask: [1] })]],
    ['with tiles between', [picture(1, { goesOn: true }), square(1)]],
    [
      'within tiles',
      [message(Kind.Tiles, 0, tiles(1, [0, 0, 0, 0, 0, 3, 3, 9, 9, 9])), picture(1)],
    ],
    ['with a flag that is none', [withFlag(picture(1), 4)]],
  ];

  function withFlag(bytes: ArrayBuffer, flag: number): ArrayBuffer {
    new Uint8Array(bytes)[8 + 13] = flag;
    return bytes;
  }

  it.each(bad)('closes the stream: %s', async (_, messages) => {
    const { world } = await Motion.start();
    for (const bytes of messages) world.socket.receive(bytes);
    expect(world.session.view.link).toMatchObject({ kind: 'waiting', reason: 'protocol_error' });
  });

  it('closes the stream before a hello', async () => {
    const world = await World.start();
    world.socket.receive(picture(1, { key: true }));
    expect(world.session.view.link).toMatchObject({ kind: 'waiting', reason: 'protocol_error' });
  });

  it('closes the stream when more comes than was ever acknowledged', async () => {
    const motion = await Motion.start((decoder) => (decoder.isStuck = true));
    for (let frame = 1; frame <= 80; frame++) await motion.video(frame, { key: frame === 1 });
    expect(motion.world.session.view.link).toMatchObject({ reason: 'protocol_error' });
    motion.expectNothingKept();
  });

  it('closes the stream when a picture never ends', async () => {
    const { world } = await Motion.start();
    const part = new Uint8Array((1 << 20) - 8);
    part.set(video(1, { goesOn: true }));
    for (let i = 0; i < 40; i++) world.socket.receive(message(Kind.Video, 0, part));
    expect(world.session.view.link).toMatchObject({ reason: 'protocol_error' });
  });
});

describe('what a person wants', () => {
  it('is said, and said again after coming back', async () => {
    const { world } = await Motion.start();
    const region = { x: 1, y: 2, width: 30, height: 40 };
    world.session.setQuality('exact_motion');
    world.session.markRegion(region);
    world.session.watch(true);
    expect(world.socket.said.slice(1)).toEqual([
      { type: 'quality', quality: 'exact_motion' },
      { type: 'region', region },
      { type: 'watch', on: true },
    ]);
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(1000);
    await world.greet();
    expect(world.socket.said).toMatchObject([
      { type: 'hello', quality: 'exact_motion' },
      { type: 'region', region },
      { type: 'watch', on: true },
    ]);
    expect(world.session.view).toMatchObject({ quality: 'exact_motion', region });
  });

  it('shows what the agent says, status only while it is watched', async () => {
    const { world } = await Motion.start();
    const status = {
      encoder: 'openh264',
      codec: 'h264',
      qp: 24,
      video_tiles: 240,
      frames_per_s: 60,
      line_kbit_per_s: 1000,
      capture_us: 1,
      encode_us: 2,
      way_us: 3,
      queue_us: 4,
      limit: 'network',
    };
    world.socket.say(Kind.Agent, { type: 'status', ...status });
    expect(world.session.view.status).toBeNull();
    world.session.watch(true);
    world.socket.say(Kind.Agent, { type: 'status', ...status });
    expect(world.session.view.status).toEqual(status);
    world.session.watch(false);
    expect(world.session.view.status).toBeNull();
    const marked = [{ x: 0, y: 0, width: 64, height: 64 }];
    world.socket.say(Kind.Agent, { type: 'marked', regions: marked });
    expect(world.session.view.marked).toEqual(marked);
  });

  it('gets tiles only where the browser never says what it decodes', async () => {
    const world = await World.start();
    world.decodes = null;
    world.socket.say(Kind.Gate, {
      type: 'welcome',
      desktop: 'd',
      desktop_name: 'analysis',
      user_name: 'li',
      recording: true,
    });
    await world.settle();
    expect(world.socket.said).toEqual([]);
    expect(world.session.view.recording).toBe(true);
    await world.pass(2000);
    expect(world.socket.said).toMatchObject([{ type: 'hello', decodes: [] }]);
    expect(world.session.view.decodes).toBeNull();
    // It was only slow: the next stream has it.
    world.decodes = ['av1'];
    world.socket.onclose?.(new Event('close') as CloseEvent);
    await world.pass(1000);
    await world.greet();
    expect(world.socket.said).toMatchObject([{ type: 'hello', decodes: ['av1'] }]);
  });
});
