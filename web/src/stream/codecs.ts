/** The browser's video decoders: how each is set up, and which were found to work. */
import type { VideoCodec, VideoHead } from './proto';
import type { Codecs, Decoder } from './video';

/** What a probe found about one codec. */
export interface Found {
  readonly codec: VideoCodec;
  readonly acceleration: HardwareAcceleration;
}

/** Without it browsers guess: Chromium takes full range for limited, and greys are up to 20 off. */
const COLOURS: VideoColorSpaceInit = {
  fullRange: true,
  matrix: 'bt709',
  primaries: 'bt709',
  transfer: 'iec61966-2-1',
};

/** What a bitstream of each is called when it does not say so itself. */
const NAMES: Record<VideoCodec, string> = {
  h264: 'avc1.640034',
  h264_grey: 'avc1.f40034',
  h264_rgb: 'avc1.f40034',
  av1: 'av01.0.13M.08',
  hevc: 'hev1.1.6.L153.B0',
};

/** The set-up of a decoder for a bitstream that begins with this key frame. */
export function configOf(
  codec: VideoCodec,
  key: Uint8Array,
  size: { readonly width: number; readonly height: number },
  acceleration: HardwareAcceleration,
): VideoDecoderConfig {
  const isH264 = codec === 'h264' || codec === 'h264_grey' || codec === 'h264_rgb';
  return {
    codec: (isH264 ? h264Name(key) : null) ?? NAMES[codec],
    codedWidth: size.width + (size.width & 1),
    codedHeight: size.height + (size.height & 1),
    optimizeForLatency: true,
    hardwareAcceleration: acceleration,
    colorSpace: codec === 'h264_rgb' ? { ...COLOURS, matrix: 'rgb' } : COLOURS,
  };
}

/** Parameter sets stand at the start; further in there are only pixels. */
const PARAMETERS_WITHIN = 256;
const SPS = 7;

/** Profile and level, as the sequence parameter set of an Annex B bitstream says them. */
export function h264Name(key: Uint8Array): string | null {
  const end = Math.min(key.length - 7, PARAMETERS_WITHIN);
  for (let i = 0; i < end; i++) {
    const isStart = key[i] === 0 && key[i + 1] === 0 && key[i + 2] === 1;
    if (!isStart || ((key[i + 3] ?? 0) & 31) !== SPS) continue;
    const bytes = Array.from(key.subarray(i + 4, i + 7));
    return `avc1.${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  }
  return null;
}

/** A decoder of this browser. */
export function openDecoder(events: Parameters<Codecs['open']>[0]): Decoder {
  const decoder = new VideoDecoder({
    output: (frame) => {
      events.output(frame);
    },
    error: (error) => {
      events.error(error);
    },
  });
  return {
    configure: (config) => {
      decoder.configure(config);
    },
    decode: (chunk) => {
      decoder.decode(new EncodedVideoChunk(chunk));
    },
    close: () => {
      decoder.close();
    },
  };
}

/** The browser's decoders, of which those are offered that were found to work. */
export function browserCodecs(found: readonly Found[]): Codecs {
  return {
    decodes: () => found.map(({ codec }) => codec),
    open: openDecoder,
    config: (codec: VideoCodec, key: Uint8Array, head: VideoHead) =>
      configOf(
        codec,
        key,
        head,
        found.find((one) => one.codec === codec)?.acceleration ?? 'no-preference',
      ),
  };
}
