/**
 * From recorded messages to a picture, with the decoders of the viewer. It can go on without
 * drawing, keep where it is, and come back to it.
 */
import { Exactness, type ExactState } from '../stream/exact';
import type { Rect } from '../stream/grid';
import { hashText } from '../stream/hash';
import { type Kept, Picture, type Pixels } from '../stream/picture';
import type { PixelCode } from '../stream/pixels';
import { Presenter } from '../stream/presenter';
import {
  type AgentMessage,
  Flag,
  HEADER_BYTES,
  Kind,
  ProtocolError,
  readAgentMessage,
  readMessage,
  readVideo,
} from '../stream/proto';
import type { SliceChange, SliceDecoder } from '../stream/slices';
import type { Surface } from '../stream/surface';
import { TileDecoder } from '../stream/tiles';
import { Verifier, type VerifierHost } from '../stream/verify';
import { type Codecs, VideoPath } from '../stream/video';
import type { Zstd } from '../stream/zstd';
import { QuietSurface } from './quiet';

export interface ReelParts {
  readonly surface: Surface;
  readonly code: PixelCode;
  readonly zstd: Pick<Zstd, 'unpack'>;
  readonly slices: SliceDecoder;
  readonly codecs: Codecs;
  readonly host: VerifierHost;
}

export interface ReelEvents {
  changed(): void;
  resized(size: { width: number; height: number }): void;
  slice(change: SliceChange): void;
}

/** Checks of the desktop's own checksums, each counted once however often it is passed. */
export interface Checks {
  readonly right: number;
  readonly wrong: number;
}

/** Whether a message is of a video's frame that stands alone, or of one that does not. */
export function videoOf(message: ArrayBuffer): 'key' | 'delta' | null {
  const view = new DataView(message);
  if (message.byteLength <= HEADER_BYTES || view.getUint8(0) !== Kind.Video) return null;
  return readVideo(new Uint8Array(message, HEADER_BYTES)).head.isKey ? 'key' : 'delta';
}

export class Reel {
  readonly #picture: Picture;
  readonly #surface: QuietSurface;
  readonly #presenter: Presenter;
  readonly #video: VideoPath;
  readonly #slices: SliceDecoder;
  readonly #exactness = new Exactness();
  readonly #verifier: Verifier;
  readonly #events: ReelEvents;
  #isOpen = false;
  #frame: number | null = null;
  /** Frames taken and not yet on the canvas. */
  #pending = 0;
  #waiters: { most: number; done: () => void }[] = [];
  /** By the place in the file: passed twice, counted once. */
  readonly #right = new Set<number>();
  readonly #wrong = new Set<number>();
  #skipsVideo = false;
  #hasSlices = false;

  constructor(parts: ReelParts, events: ReelEvents) {
    const { code, zstd, codecs, host } = parts;
    this.#events = events;
    this.#slices = parts.slices;
    const picture = new Picture(code);
    const surface = new QuietSurface(parts.surface);
    this.#picture = picture;
    this.#surface = surface;
    this.#video = new VideoPath(
      { codecs, surface, host },
      {
        failed: () => {
          this.#skipsVideo = true;
          events.changed();
        },
        lost: () => undefined,
        ready: () => {
          this.#presenter.pump();
        },
      },
    );
    this.#presenter = new Presenter(
      {
        picture,
        surface,
        tiles: new TileDecoder(picture, code, zstd),
        video: this.#video,
        now: () => host.now(),
      },
      {
        drawn: (tiles) => {
          this.#exactness.drawn(tiles);
          this.#verifier.disturbed();
        },
        shown: () => {
          this.#pending--;
          this.#tell();
          events.changed();
        },
        resized: () => {
          events.resized({ width: picture.width, height: picture.height });
        },
      },
    );
    this.#verifier = new Verifier(
      { picture, surface, exactness: this.#exactness, host },
      {
        // A file sends nothing again: what reads back wrong is drawn again.
        wrong: (tiles) => {
          this.#presenter.redraw(tiles.filter((tile) => tile < picture.tiles));
        },
        change: () => {
          events.changed();
        },
      },
    );
  }

  get exact(): ExactState {
    return this.#exactness.state;
  }

  get checks(): Checks {
    return { right: this.#right.size, wrong: this.#wrong.size };
  }

  /** Some of the video could not be shown here. */
  get skipsVideo(): boolean {
    return this.#skipsVideo;
  }

  root(): string {
    return hashText(this.#picture.root());
  }

  pixels(area: Rect): Promise<Pixels> {
    return this.#surface.read(area);
  }

  /**
   * Runs one message, which stands at this place of the file. True: the desktop said that everything
   * is exact, and it is: here one can come back to.
   */
  take(bytes: ArrayBuffer, place: number): boolean {
    const message = readMessage(bytes);
    switch (message.kind) {
      case Kind.Tiles:
        this.#expectOpen();
        this.#came(this.#presenter.takeTiles(message));
        break;
      case Kind.Video:
        this.#expectOpen();
        this.#came(this.#presenter.takeVideo(message));
        break;
      case Kind.Slice: {
        this.#expectOpen();
        this.#hasSlices = true;
        const seen = this.#slices.receive(message);
        for (const change of seen.changes) this.#events.slice(change);
        if (seen.last) {
          this.#presenter.takeOther(seen.frame);
          this.#came(seen.frame);
        }
        break;
      }
      case Kind.Agent:
        return this.#agent(readAgentMessage(message.payload), place);
      case Kind.Cursor:
        break; // Where the pointer was is not in a recording.
      default:
        if (!(message.flags & Flag.Optional)) throw new ProtocolError('unknown message');
    }
    return false;
  }

  /** Waits until at most so many frames are on their way to the canvas. */
  settled(most: number): Promise<void> {
    if (this.#pending <= most) return Promise.resolve();
    return new Promise((done) => this.#waiters.push({ most, done }));
  }

  /** From now on nothing but video is drawn, until `loud`. */
  quiet(): void {
    this.#verifier.stop();
    this.#surface.quiet();
  }

  /** Draws what was left out. */
  loud(): void {
    this.#surface.loud(this.#picture);
    if (!this.#isOpen) return;
    this.#presenter.refresh();
    if (this.#exactness.atRest) this.#verifier.start();
    this.#events.changed();
  }

  /** All that is needed to come back here; null where that is not possible. */
  keep(): Kept | null {
    // 16-bit pictures have a life of their own.
    return this.#isOpen && !this.#hasSlices ? this.#picture.keep() : null;
  }

  /** As at the beginning, or where something was kept. */
  restart(kept: Kept | null): void {
    this.#presenter.restart();
    for (const change of this.#slices.restart()) this.#events.slice(change);
    this.#hasSlices = false;
    this.#pending = 0;
    this.#tell();
    this.#frame = null;
    this.#exactness.disconnected();
    this.#isOpen = kept !== null;
    if (!kept) return;
    this.#exactness.connected();
    this.#picture.comeBack(kept);
    this.#presenter.resized();
    this.#exactness.resized();
  }

  /** Ends it for good. */
  close(): void {
    this.#verifier.stop();
    this.#presenter.restart();
    this.#pending = 0;
    this.#tell();
  }

  #expectOpen(): void {
    if (!this.#isOpen) throw new ProtocolError('picture before hello');
  }

  #came(frame: number | null): void {
    if (frame === null) return;
    this.#frame = frame;
    this.#pending++;
    this.#presenter.pump();
  }

  #agent(message: AgentMessage | null, place: number): boolean {
    switch (message?.type) {
      case 'hello':
        this.#isOpen = true;
        this.#frame = null;
        this.#picture.restart(message.width, message.height, message.cache_slots);
        this.#exactness.connected();
        this.#pictureChanged();
        return false;
      case 'resized':
        this.#expectOpen();
        this.#presenter.resized();
        this.#picture.resize(message.width, message.height);
        this.#pictureChanged();
        return false;
      case 'exact': {
        this.#expectOpen();
        this.#presenter.refresh();
        const root = this.root();
        this.#exactness.claimed(message, { frame: this.#frame, root });
        const isRight = root === message.root;
        (isRight ? this.#right : this.#wrong).add(place);
        if (this.#exactness.atRest && !this.#surface.isQuiet) this.#verifier.start();
        this.#events.changed();
        return isRight;
      }
      default:
        return false;
    }
  }

  #pictureChanged(): void {
    this.#presenter.resized();
    this.#exactness.resized();
    this.#events.changed();
  }

  #tell(): void {
    const ready = this.#waiters.filter(({ most }) => this.#pending <= most);
    this.#waiters = this.#waiters.filter(({ most }) => this.#pending > most);
    for (const { done } of ready) done();
  }
}
