/** What a browser decodes is tried, not believed. */
import { describe, expect, it } from 'vitest';

import clips from '../src/stream/clips.json';
import { configOf, h264Name } from '../src/stream/codecs';
import { type Clip, type Clips, probeCodecs, type ProbeHost } from '../src/stream/probe';
import type { DecoderEvents } from '../src/stream/video';
import { FakeFrame } from './fake';

const STEP = 8;
const clip: Clip = {
  width: 256,
  height: 64,
  step: STEP,
  frames: [btoa('0'), btoa('1'), btoa('2')],
};

type Behaviour = (config: VideoDecoderConfig) => {
  supported?: boolean;
  /** Pictures held back. */
  holds?: number;
  /** Gives no picture from this one on. */
  deadFrom?: number;
  failsAt?: number;
  throws?: boolean;
  grey?: (value: number) => number;
};

/** Browsers in which time passes only when nothing comes. */
class Browser implements ProbeHost {
  readonly frames: FakeFrame[] = [];
  #configs = new Map<FakeFrame, VideoDecoderConfig>();
  opened = 0;
  closed = 0;

  constructor(readonly behaviour: Behaviour) {}

  now(): number {
    return 0;
  }

  later(_: number, run: () => void): () => void {
    const timer = setTimeout(run, 5);
    return () => {
      clearTimeout(timer);
    };
  }

  supports(config: VideoDecoderConfig): Promise<boolean> {
    return Promise.resolve(this.behaviour(config).supported ?? true);
  }

  row(frame: FakeFrame, width: number): Promise<Uint8ClampedArray> {
    const config = this.#configs.get(frame);
    const grey = (config && this.behaviour(config).grey) ?? ((value: number) => value);
    const row = new Uint8ClampedArray(width * 4);
    for (let x = 0; x < width; x++) {
      const value = grey((x + frame.timestamp * STEP) % 256);
      row.set([value, value, value, 0], 4 * x);
    }
    return Promise.resolve(row);
  }

  open(events: DecoderEvents) {
    this.opened++;
    let config: VideoDecoderConfig | null = null;
    const held: number[] = [];
    return {
      configure: (given: VideoDecoderConfig) => {
        if (this.behaviour(given).throws) throw new TypeError('no');
        config = given;
      },
      decode: ({ timestamp }: { timestamp: number }) => {
        if (!config) throw new Error('not configured');
        const used = config;
        const { holds = 0, deadFrom = 99, failsAt } = this.behaviour(used);
        if (failsAt === timestamp) {
          queueMicrotask(() => {
            events.error(new Error('broken'));
          });
          return;
        }
        if (timestamp >= deadFrom) return;
        held.push(timestamp);
        for (const at of held.splice(0, Math.max(0, held.length - holds))) {
          const frame = new FakeFrame(at, 0, 256, 64);
          this.frames.push(frame);
          this.#configs.set(frame, used);
          queueMicrotask(() => {
            events.output(frame);
          });
        }
      },
      close: () => {
        this.closed++;
      },
    };
  }
}

async function found(behaviour: Behaviour, tried: Clips = { h264: clip }) {
  const browser = new Browser(behaviour);
  const found = await probeCodecs(tried, browser);
  expect(browser.closed).toBe(browser.opened);
  expect(browser.frames.every((frame) => frame.isClosed)).toBe(true);
  return found;
}

const hardwareOnly = (config: VideoDecoderConfig) =>
  config.hardwareAcceleration === 'no-preference';

describe('a codec', () => {
  it('is used when each picture comes at once, in right greys', async () => {
    expect(await found(() => ({}))).toEqual([{ codec: 'h264', acceleration: 'no-preference' }]);
  });

  it('is used in software where the other decoder holds a picture back', async () => {
    expect(await found((config) => (hardwareOnly(config) ? { holds: 1 } : {}))).toEqual([
      { codec: 'h264', acceleration: 'prefer-software' },
    ]);
  });

  it.each<[string, Behaviour]>([
    ['is not supported', () => ({ supported: false })],
    ['is claimed but cannot be set up', () => ({ throws: true })],
    ['holds pictures back everywhere', () => ({ holds: 1 })],
    ['gives nothing', () => ({ deadFrom: 0 })],
    ['stops after the first picture', () => ({ deadFrom: 1 })],
    ['fails', () => ({ failsAt: 0 })],
    ['fails in the middle', () => ({ failsAt: 2 })],
    // 36 levels are gone, though none of the rest is far off at the dark end.
    ['shows limited range', () => ({ grey: (v) => 16 + Math.round((v * 219) / 255) })],
    ['takes full range for limited', () => ({ grey: (v) => ((v - 16) * 255) / 219 })],
    ['mixes up two greys', () => ({ grey: (v) => (v === 100 ? 101 : v) })],
    ['is one step off by three', () => ({ grey: (v) => (v === 7 ? 10 : v) })],
  ])('is not used when it %s', async (_, behaviour) => {
    expect(await found(behaviour)).toEqual([]);
  });

  it('without loss must show grey exactly, one with loss need not', async () => {
    // All distinct, each at most one off.
    const nearly = (value: number) => (value < 128 ? value ^ 1 : value);
    expect(await found(() => ({ grey: nearly }))).toHaveLength(1);
    expect(await found(() => ({ grey: nearly }), { h264_grey: clip })).toEqual([]);
    expect(await found(() => ({}), { h264_grey: clip, h264_rgb: clip })).toHaveLength(2);
  });

  it('is not used without a clip', async () => {
    expect(await found(() => ({}), {})).toEqual([]);
  });
});

describe('the set-up of a decoder', () => {
  it('takes profile and level from the bitstream', () => {
    const sps = [0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 0x64, 0x00, 0x28, 1, 2, 3, 4, 5, 6, 7];
    expect(h264Name(Uint8Array.from(sps))).toBe('avc1.640028');
    expect(h264Name(Uint8Array.from([0, 0, 1, 0x67, 0x64]))).toBeNull();
    expect(h264Name(new Uint8Array(1000))).toBeNull();
  });

  it('always says the colour space, for GBR another matrix', () => {
    const size = { width: 129, height: 65 };
    const h264 = configOf('h264', new Uint8Array(0), size, 'no-preference');
    expect(h264).toMatchObject({
      codec: 'avc1.640034',
      codedWidth: 130,
      codedHeight: 66,
      optimizeForLatency: true,
      colorSpace: { fullRange: true, matrix: 'bt709' },
    });
    expect(configOf('h264_rgb', new Uint8Array(0), size, 'no-preference')).toMatchObject({
      codec: 'avc1.f40034',
      colorSpace: { fullRange: true, matrix: 'rgb' },
    });
  });

  it('fits the clips that come with the viewer', () => {
    for (const [codec, { width, height, step, frames }] of Object.entries(clips)) {
      expect({ codec, width, height, frames: frames.length }).toEqual({
        codec,
        width: 256,
        height: 64,
        frames: 3,
      });
      expect(step % 256).not.toBe(0);
    }
    expect(Object.keys(clips)).toContain('h264');
  });
});
