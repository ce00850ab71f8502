/** A player with this browser's network, clock, decoders and canvas. */
import { CanvasSurface } from '../stream/canvas';
import { clock, frameWay, hostCodecs } from '../stream/core';
import { PixelCode } from '../stream/pixels';
import type { SliceChange } from '../stream/slices';
import { SliceDecoder } from '../stream/slices';
import type { VerifierHost } from '../stream/verify';
import { Zstd } from '../stream/zstd';
import { Player } from './player';
import { Reel } from './reel';
import { RangeSource } from './source';
import { Tape } from './tape';

export interface Opened {
  readonly player: Player;
  readonly reel: Reel;
}

export interface PlayListener {
  changed(): void;
  resized(size: { width: number; height: number }): void;
  slice(change: SliceChange): void;
}

const host: VerifierHost = {
  ...clock,
  random: () => Math.random(),
  idle: (run) => clock.later(0, run),
};

export async function openRecording(
  recording: string,
  canvas: HTMLCanvasElement,
  listener: PlayListener,
): Promise<Opened> {
  const source = new RangeSource(`/r/${recording}/file`);
  const loading = Promise.all([PixelCode.load(), Zstd.load(), hostCodecs()]);
  const tape = await Tape.open(source);
  const [code, zstd, codecs] = await loading;
  const slices = await SliceDecoder.load(zstd);
  const surface = new CanvasSurface(canvas, frameWay, clock.now);
  const reel = new Reel({ surface, code, zstd, slices, codecs, host }, listener);
  const player = new Player({ tape, reel, host: clock }, () => {
    listener.changed();
  });
  void player.run();
  exposeProbe({ player, reel });
  return { player, reel };
}

/** What tests and a console may look at. */
interface PlayProbe {
  readonly positionMs: number;
  readonly durationMs: number;
  readonly isPlaying: boolean;
  readonly isSeeking: boolean;
  readonly isAtEnd: boolean;
  readonly exact: string;
  readonly root: string;
  readonly right: number;
  readonly wrong: number;
}

declare global {
  interface Window {
    beamplayer?: PlayProbe;
  }
}

function exposeProbe({ player, reel }: Opened): void {
  const probe: PlayProbe = {
    get positionMs() {
      return player.view.positionMs;
    },
    get durationMs() {
      return player.view.durationMs;
    },
    get isPlaying() {
      return player.view.isPlaying;
    },
    get isSeeking() {
      return player.view.seeking !== null;
    },
    get isAtEnd() {
      return player.view.isAtEnd;
    },
    get exact() {
      return reel.exact;
    },
    get root() {
      return reel.root();
    },
    get right() {
      return reel.checks.right;
    },
    get wrong() {
      return reel.checks.wrong;
    },
  };
  Object.defineProperty(window, 'beamplayer', { value: Object.freeze(probe), configurable: true });
}
