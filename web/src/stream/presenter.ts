/**
 * Shows frames in their order, whatever they are made of: a tile that comes after a video frame is
 * not drawn before it, or pixels with loss could cover exact ones.
 */
import { maskOf } from './mask';
import type { Picture } from './picture';
import { type Message, ProtocolError, type TileHash } from './proto';
import type { Surface } from './surface';
import type { TileDecoder } from './tiles';
import type { VideoFrameJob, VideoPath } from './video';

/** A frame that is on the canvas. */
export interface Shown {
  readonly frame: number;
  /** Video was painted. */
  readonly isVideo: boolean;
  /** What it took on the wire. */
  readonly bytes: number;
  readonly decodeMs: number;
  readonly drawMs: number;
  /** Hashes of the tiles that changed what is held. */
  readonly tiles: readonly TileHash[];
}

export interface PresenterEvents {
  /** These tiles of the canvas are about to change. */
  drawn(tiles: Iterable<number>): void;
  shown(shown: Shown): void;
  /** The canvas has the picture's size now. */
  resized(): void;
}

interface Entry {
  readonly frame: number;
  readonly bytes: number;
  decodeMs: number;
  /** Of tiles: those it changed, with their hashes once they are known. */
  readonly touched: ReadonlySet<number>;
  hashes: readonly TileHash[] | null;
  readonly video: VideoFrameJob | null;
  /** The picture has got another size since. */
  isStale: boolean;
}

/** The agent waits for acknowledgements long before so many frames wait to be shown. */
const FRAMES_MAX = 256;
/** Frames that a canvas in another thread has still to draw: each may be a whole picture. */
const DRAWING_MAX = 8;

export class Presenter {
  readonly #picture: Picture;
  readonly #surface: Surface;
  readonly #tiles: TileDecoder;
  readonly #video: VideoPath;
  readonly #now: () => number;
  readonly #events: PresenterEvents;

  #queue: Entry[] = [];
  /** Tiles changed by the messages of the frame that is coming. */
  #touched = new Set<number>();
  #decodeMs = 0;
  #bytes = 0;
  /** The surface still shows the picture of before; it changes with the first new frame. */
  #isOld = true;
  #drawing = 0;
  /** Acknowledgements of an earlier stream are for nobody. */
  #life = 0;

  constructor(
    parts: {
      picture: Picture;
      surface: Surface;
      tiles: TileDecoder;
      video: VideoPath;
      now: () => number;
    },
    events: PresenterEvents,
  ) {
    this.#picture = parts.picture;
    this.#surface = parts.surface;
    this.#tiles = parts.tiles;
    this.#video = parts.video;
    this.#now = parts.now;
    this.#events = events;
  }

  /** A message came in, of whichever kind. */
  received(bytes: number): void {
    this.#bytes += bytes;
  }

  /** A message of tiles. Gives the frame's number when it was its last. */
  takeTiles(message: Message): number | null {
    if (this.#video.isWithin) throw new ProtocolError('tiles within a video');
    const from = this.#now();
    const { frame, last } = this.#tiles.decode(message, this.#touched);
    this.#decodeMs += this.#now() - from;
    if (!last) return null;
    const touched = this.#touched;
    this.#touched = new Set();
    this.#push({ frame, touched, video: null, hashes: null });
    return frame;
  }

  /** A message of a video. Gives the frame's number when it was its last. */
  takeVideo(message: Message): number | null {
    if (this.#touched.size > 0) throw new ProtocolError('video within tiles');
    const video = this.#video.receive(message);
    if (!video) return null;
    const { x, y, width, height, frame } = video.head;
    if (x + width > this.#picture.width || y + height > this.#picture.height) {
      throw new ProtocolError('video outside the picture');
    }
    this.#push({ frame, touched: new Set(), video, hashes: [] });
    return frame;
  }

  /** Time went into the frame that is coming. */
  worked(decodeMs: number): void {
    this.#decodeMs += decodeMs;
  }

  /** A frame that draws nothing here. */
  takeOther(frame: number): void {
    if (this.#video.isWithin || this.#touched.size > 0) {
      throw new ProtocolError('a frame within another');
    }
    this.#push({ frame, touched: new Set(), video: null, hashes: [] });
  }

  /** Shows what is ready, in order. */
  pump(): void {
    while (this.#drawing < DRAWING_MAX) {
      const first = this.#queue[0];
      if (!first || first.video?.state === 'waiting' || first.video?.state === 'decoding') return;
      this.#queue.shift();
      this.#show(first);
    }
  }

  /** The picture is about to be another: what waits belongs to the one before. */
  resized(): void {
    this.#touched.clear();
    this.#isOld = true;
    for (const entry of this.#queue) entry.isStale = true;
  }

  /** Nothing more of this stream is shown or acknowledged. */
  restart(): void {
    this.#life++;
    this.#video.restart();
    this.#queue = [];
    this.#touched.clear();
    this.#decodeMs = 0;
    this.#bytes = 0;
  }

  /** Draws the whole picture on the surface if that still shows the one of before. */
  refresh(): void {
    if (!this.#isOld) return;
    this.#isOld = false;
    this.#surface.resize(this.#picture);
    const all = this.#all();
    this.#events.drawn(all);
    this.#surface.draw(this.#picture, all);
    this.#events.resized();
  }

  /** Draws tiles again as they are held. */
  redraw(tiles: readonly number[]): void {
    this.#events.drawn(tiles);
    this.#surface.draw(this.#picture, tiles);
  }

  /** Nobody who comes by later sees what was on the screen. */
  blank(): void {
    if (this.#picture.tiles === 0) return;
    this.#picture.resize(this.#picture.width, this.#picture.height);
    this.#surface.resize(this.#picture);
  }

  #all(): number[] {
    return [...Array(this.#picture.tiles).keys()];
  }

  #push(entry: Omit<Entry, 'bytes' | 'decodeMs' | 'isStale'>): void {
    this.#queue.push({
      ...entry,
      bytes: this.#bytes,
      decodeMs: this.#decodeMs,
      isStale: false,
    });
    this.#bytes = 0;
    this.#decodeMs = 0;
    this.pump();
    // What comes after may change these tiles again before they are shown.
    const last = this.#queue.at(-1);
    if (last) last.hashes ??= this.#hashes(last);
    if (this.#queue.length > FRAMES_MAX) throw new ProtocolError('more frames than acknowledged');
  }

  #show(entry: Entry): void {
    const { frame, bytes, video, touched } = entry;
    const life = this.#life;
    let decodeMs = entry.decodeMs;
    const isVideo = !entry.isStale && video?.state === 'ready';
    if (!entry.isStale) {
      this.refresh();
      if (video?.prepared) {
        decodeMs += video.decodeMs;
        const mask = maskOf(video.head);
        // All tiles, not just those of the mask: that the others stayed as they were is to be proven.
        this.#events.drawn(this.#all());
        this.#surface.paint(video.prepared, video.head.x, video.head.y, mask.rects);
      } else if (touched.size > 0) {
        this.#events.drawn(touched);
        this.#surface.draw(this.#picture, touched);
      }
    }
    // Drawn first, hashed then: a picture is seen before it is proven.
    if (!entry.hashes) {
      const from = this.#now();
      entry.hashes = this.#hashes(entry);
      decodeMs += this.#now() - from;
    }
    const tiles = entry.hashes;
    if (video) {
      if (entry.isStale) video.prepared?.drop();
      this.#video.release(video);
    }
    this.#drawing++;
    this.#surface.done((drawMs) => {
      this.#drawing--;
      if (life !== this.#life) return;
      this.#events.shown({ frame, isVideo, bytes, decodeMs, drawMs, tiles });
      this.pump();
    });
  }

  #hashes({ touched }: Entry): TileHash[] {
    return Array.from(touched, (tile) => ({ tile, hash: this.#picture.rehash(tile) }));
  }
}
