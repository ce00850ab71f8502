/**
 * Finds out what this browser really decodes, with clips: browsers claim codecs that they do not
 * have, hold pictures back, and show wrong greys.
 *
 * Each picture of a clip is a ramp of all 256 greys, one step further each time.
 */
import type { Found } from './codecs';
import { configOf } from './codecs';
import type { VideoCodec } from './proto';
import { VIDEO_CODECS } from './proto';
import type { Decoder, DecoderEvents } from './video';
import type { DecodedFrame } from './surface';

export interface Clip {
  readonly width: number;
  readonly height: number;
  /** So many greys the ramp moves from picture to picture. */
  readonly step: number;
  /** Base64. */
  readonly frames: readonly string[];
}

export type Clips = Readonly<Partial<Record<VideoCodec, Clip>>>;

/** What the probe needs of the browser. */
export interface ProbeHost {
  now(): number;
  later(ms: number, run: () => void): () => void;
  open(events: DecoderEvents): Decoder;
  supports(config: VideoDecoderConfig): Promise<boolean>;
  /** The first row of a decoded picture: RGB or RGBX, four bytes a pixel. */
  row(frame: DecodedFrame, width: number): Promise<Uint8ClampedArray>;
}

/**
 * The first picture waits for the decoder to start. The others come within a few milliseconds or, where
 * the decoder holds them back, never; a machine that is busy just then is no reason to go without.
 */
const FIRST_MS_MAX = 1000;
const NEXT_MS_MAX = 250;
const GREYS = 256;
/** How far a codec with loss may be off. */
const ERROR_MAX = 2;
/** Without loss, grey is exact. */
const LOSSLESS: readonly VideoCodec[] = ['h264_grey', 'h264_rgb'];

/** The codecs that work, each with the kind of decoder that holds nothing back. */
export async function probeCodecs(clips: Clips, host: ProbeHost): Promise<Found[]> {
  const known = VIDEO_CODECS.filter((codec) => codec !== null);
  const found = await Promise.all(known.map((codec) => probeCodec(codec, clips[codec], host)));
  return found.filter((one) => one !== null);
}

async function probeCodec(
  codec: VideoCodec,
  clip: Clip | undefined,
  host: ProbeHost,
): Promise<Found | null> {
  if (!clip) return null;
  const frames = clip.frames.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const [key] = frames;
  if (!key) return null;
  for (const acceleration of ['no-preference', 'prefer-software'] as const) {
    const config = configOf(codec, key, clip, acceleration);
    try {
      if (!(await host.supports(config))) continue;
      await play(codec, clip, frames, config, host);
      return { codec, acceleration };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      console.warn(`This browser's ${codec} (${acceleration}) is not used: ${why}`);
    }
  }
  return null;
}

/** Decodes picture after picture, each before the next is given; throws where something is wrong. */
async function play(
  codec: VideoCodec,
  clip: Clip,
  frames: readonly Uint8Array<ArrayBuffer>[],
  config: VideoDecoderConfig,
  host: ProbeHost,
): Promise<void> {
  let came: (frame: DecodedFrame) => void = drop;
  let failed: (error: Error) => void = () => undefined;
  const decoder = host.open({
    output: (frame) => {
      came(frame);
    },
    error: (error) => {
      failed(error);
    },
  });
  try {
    decoder.configure(config);
    for (const [at, data] of frames.entries()) {
      const frame = await new Promise<DecodedFrame>((done, refuse) => {
        const cancel = host.later(at === 0 ? FIRST_MS_MAX : NEXT_MS_MAX, () => {
          refuse(new Error(`picture ${at} is held back`));
        });
        came = (picture) => {
          cancel();
          came = drop;
          done(picture);
        };
        failed = (error) => {
          cancel();
          refuse(error);
        };
        decoder.decode({ type: at === 0 ? 'key' : 'delta', timestamp: at, data });
      });
      try {
        if (frame.timestamp !== at) throw new Error('pictures come in another order');
        const row = await host.row(frame, clip.width);
        check(row, at * clip.step, LOSSLESS.includes(codec) ? 0 : ERROR_MAX);
      } finally {
        frame.close();
      }
    }
  } finally {
    came = drop;
    try {
      decoder.close();
    } catch {
      // It closed itself when it failed.
    }
  }
}

function drop(frame: DecodedFrame): void {
  frame.close();
}

/** Throws unless these pixels are the ramp that begins with `first`. */
export function check(row: Uint8ClampedArray, first: number, errorMax: number): void {
  const seen = new Set<number>();
  for (let x = 0; x < GREYS; x++) {
    const expected = (x + first) % GREYS;
    const parts = [row[4 * x], row[4 * x + 1], row[4 * x + 2]];
    for (const part of parts) {
      if (part === undefined || Math.abs(part - expected) > errorMax) {
        throw new Error(`grey ${expected} is shown as ${parts.join(', ')}`);
      }
    }
    seen.add(parts[1] ?? 0);
  }
  if (seen.size < GREYS) throw new Error(`of ${GREYS} greys ${seen.size} are left`);
}
