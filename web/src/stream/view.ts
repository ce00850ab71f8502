/** What a page sees of a stream, and what it can do with it: the same wherever the session runs. */
import type { Cursor } from './cursor';
import type { ExactState } from './exact';
import type { CloseReason, Quality, Region, Status, VideoCodec, ViewerMessage } from './proto';
import type { SliceChange } from './slices';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type LinkState =
  | { kind: 'connecting' }
  | { kind: 'open' }
  | { kind: 'waiting'; reason: CloseReason | null; untilMs: number }
  | { kind: 'ended'; reason: CloseReason | 'refused' };

/** Everything a page shows about the stream. */
export interface View {
  readonly link: LinkState;
  readonly exact: ExactState;
  readonly desktopName: string | null;
  readonly userName: string | null;
  readonly size: Size | null;
  /** Largest picture the desktop can show; set when the asked one was refused. */
  readonly refusedBeyond: Size | null;
  readonly layouts: readonly string[];
  readonly notice: string | null;
  /** What the agent says about the stream, while watched. */
  readonly status: Status | null;
  /** What programs have marked as what matters. */
  readonly marked: readonly Region[];
  /** What the user has marked. */
  readonly region: Region | null;
  /** The messages of this stream are being kept. */
  readonly recording: boolean;
  /** The user may say whether they are. */
  readonly mayRecord: boolean;
  /** The recording that was wanted ended by itself, or never began. */
  readonly recordingTrouble: 'ended' | 'failed' | null;
  /** What this browser was seen to decode; null: not known yet. */
  readonly decodes: readonly VideoCodec[] | null;
  readonly quality: Quality;
}

/** A frame that was shown, for numbers. */
export interface Sample {
  readonly frame: number;
  readonly isVideo: boolean;
  /** Root over the tiles as held, as text. */
  readonly root: string;
  readonly bytes: number;
  /** All that was received since the page was opened. */
  readonly bytesEver: number;
  readonly decodeMs: number;
  readonly drawMs: number;
}

export interface Listener {
  changed(view: View): void;
  cursor(cursor: Cursor): void;
  /** The picture on the surface has a new size. */
  resized(size: Size): void;
  shown(sample: Sample): void;
  /** A 16-bit picture over the desktop's has changed. */
  slice(change: SliceChange): void;
}

/** What a page does with a stream, wherever the session runs. */
export interface Controls {
  start(): void;
  /** Ends the stream for good. */
  close(): void;
  /** Comes back at once, if it is waiting to. */
  retry(): void;
  send(message: ViewerMessage): void;
  /** Sends where the pointer is; left out while the line is full, for the next one replaces it. */
  point(x: number, y: number): void;
  /** Asks for a picture of this size. */
  ask(size: Size): void;
  setVisible(visible: boolean): void;
  setLayout(name: string): void;
  setQuality(quality: Quality): void;
  /** Marks what matters; null: nothing any more. */
  markRegion(region: Region | null): void;
  /** Keeps the stream from its first picture on, or no more: the stream begins anew for it. */
  record(on: boolean): void;
  /** Whether the agent should tell how it sees the stream, once a second. */
  watch(on: boolean): void;
}
