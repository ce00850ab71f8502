/** A session with this browser's network, clock and decoders; on a page or in a worker. */
import { attach } from './attach';
import type { Found } from './codecs';
import { browserCodecs, openDecoder } from './codecs';
import { PixelCode } from './pixels';
import { probeCodecs, type ProbeHost } from './probe';
import { type Host, type Listener, Session, type Size } from './session';
import { SliceDecoder } from './slices';
import type { FrameWay, Surface } from './surface';
import type { Quality } from './proto';
import type { Codecs } from './video';
import { Zstd } from './zstd';

const IDLE_MS_MAX = 100;

export const clock = {
  now: () => performance.now(),
  later: (ms: number, run: () => void) => {
    const timer = setTimeout(run, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** How decoded pictures reach the canvas here; known once the decoders are. */
let way: FrameWay = 'copy';
export const frameWay = (): FrameWay => way;

const host: Host = {
  ...clock,
  attach,
  connect: (desktop) => new WebSocket(streamUrl(desktop)),
  random: () => Math.random(),
  idle: (run) => {
    // Workers have none, and have nothing better to do either.
    if (!('requestIdleCallback' in globalThis)) return clock.later(0, run);
    const handle = requestIdleCallback(run, { timeout: IDLE_MS_MAX });
    return () => {
      cancelIdleCallback(handle);
    };
  },
  codecs: hostCodecs,
};

/** This browser's decoders, of which those are offered that were found to work. */
export async function hostCodecs(): Promise<Codecs> {
  return browserCodecs(await found());
}

function streamUrl(desktop: string): string {
  const url = new URL(`/d/${desktop}/stream`, location.href);
  url.protocol = location.protocol === 'http:' ? 'ws:' : 'wss:';
  return url.href;
}

let probing: Promise<Found[]> | null = null;

function found(): Promise<Found[]> {
  probing ??= 'VideoDecoder' in globalThis ? probe() : Promise.resolve([]);
  return probing;
}

async function probe(): Promise<Found[]> {
  const { default: clips } = await import('./clips.json');
  way = await cheaperWay();
  return probeCodecs(clips, probeHost);
}

const probeHost: ProbeHost = {
  ...clock,
  open: openDecoder,
  supports: async (config) => (await VideoDecoder.isConfigSupported(config)).supported === true,
  row: async (frame, width) => {
    if (way === 'image') return drawnRow(frame as VideoFrame, width);
    const bytes = new Uint8Array(width * 2 * 4);
    await frame.copyTo(bytes, {
      rect: { x: 0, y: 0, width, height: 2 },
      format: 'RGBX',
      colorSpace: 'srgb',
    });
    return new Uint8ClampedArray(bytes.buffer);
  },
};

function drawnRow(frame: VideoFrame, width: number): Uint8ClampedArray {
  const context = scratch(width, 1);
  context.drawImage(frame, 0, 0);
  return context.getImageData(0, 0, width, 1, { colorSpace: 'srgb' }).data;
}

function scratch(
  width: number,
  height: number,
): CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D {
  if ('OffscreenCanvas' in globalThis) {
    const context = new OffscreenCanvas(width, height).getContext('2d', { alpha: false });
    if (context) return context;
  }
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) throw new Error('this browser gives no 2D canvas');
  return context;
}

/** Large enough that what it costs is pixels, small enough for a quick look. */
const TRIAL = { width: 1024, height: 512 };
const TRIALS = 3;

/** Which way of a decoded picture to a canvas costs less here; `image` where the other is missing. */
async function cheaperWay(): Promise<FrameWay> {
  const { width, height } = TRIAL;
  const context = scratch(width, height);
  const data = new Uint8Array((width * height * 3) / 2).fill(128);
  const frame = new VideoFrame(data, {
    format: 'I420',
    codedWidth: width,
    codedHeight: height,
    timestamp: 0,
  });
  /** Drawing may be put off until somebody looks. */
  const look = () => context.getImageData(0, 0, 1, 1);
  const best = async (run: () => Promise<void> | void): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < TRIALS; i++) {
      const from = performance.now();
      await run();
      look();
      times.push(performance.now() - from);
    }
    return Math.min(...times);
  };
  try {
    const bytes = new Uint8ClampedArray(width * height * 4);
    const copy = await best(async () => {
      await frame.copyTo(bytes, { format: 'RGBX', colorSpace: 'srgb' });
      context.putImageData(new ImageData(bytes, width, height), 0, 0);
    });
    const image = await best(() => {
      context.drawImage(frame, 0, 0);
    });
    return copy <= image ? 'copy' : 'image';
  } catch {
    return 'image'; // This browser copies in no other format than the decoder's.
  } finally {
    frame.close();
  }
}

/** Everything that takes time before the first message can be read. */
export async function loadCore(
  options: { desktop: string; size: Size; quality: Quality },
  surface: Surface,
  listener: Listener,
): Promise<Session> {
  void found();
  const [code, zstd] = await Promise.all([PixelCode.load(), Zstd.load()]);
  const slices = await SliceDecoder.load(zstd);
  return new Session(options, { host, surface, code, zstd, slices }, listener);
}
