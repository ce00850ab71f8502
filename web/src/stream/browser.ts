/** Brings a session to life in a page: worker, canvas, input, size, visibility. */
import { contextOf } from './canvas';
import { type Cursor, showCursor } from './cursor';
import { takeInput } from './input';
import { type Handle, type PageEvents, startHere, startInWorker } from './handle';
import type { Pixels } from './picture';
import type { Quality, Region, VideoCodec } from './proto';
import type { Size, View } from './session';
import type { SliceChange } from './slices';
import type { Numbers } from './stats';

/** The desktop follows the window once it has kept its size for so long. */
const RESIZE_MS = 150;

export interface Parts {
  /** Id of the desktop. */
  readonly desktop: string;
  readonly canvas: HTMLCanvasElement;
  /** The room there is for the picture. */
  readonly stage: HTMLElement;
  readonly listener: {
    changed(view: View): void;
    /** A 16-bit picture over the desktop's has changed. */
    slice?(change: SliceChange): void;
  };
  readonly quality?: Quality;
  /** The keyboard goes back to the page's controls. */
  releaseKeyboard(): void;
}

/** What tests and curious people may look at, as `window.beamdesk`. */
export interface Probe {
  readonly frames: number;
  readonly bytes: number;
  readonly frame: number | null;
  readonly root: string;
  readonly exact: boolean;
  readonly state: string;
  readonly link: string;
  readonly numbers: Numbers;
  readonly view: View;
  /** What this browser was seen to decode. */
  readonly decodes: readonly VideoCodec[];
  /** Whether a worker holds the session. */
  readonly inWorker: boolean;
  /** What the canvas really shows. */
  pixels(x: number, y: number, width: number, height: number): Promise<Pixels>;
}

export interface Stream {
  readonly session: Handle;
  /** Whether one pixel of the picture is one of the screen. */
  readonly isOneToOne: boolean;
  setQuality(quality: Quality): void;
  /** Marks what matters; null: nothing any more. */
  markRegion(region: Region | null): void;
  /** Whether `view.status` is wanted. */
  /** Keeps the stream from its first picture on, or no more. */
  record(on: boolean): void;
  watch(on: boolean): void;
  stop(): void;
}

export async function startStream(parts: Parts): Promise<Stream> {
  const { canvas, stage, desktop } = parts;
  let cursor: Cursor | null = null;
  /** Pixels of the screen for one of CSS. */
  let ratio = devicePixelRatio;
  const options = {
    desktop,
    size: await roomOf(stage),
    quality: parts.quality ?? ('automatic' as const),
  };
  const events: PageEvents = {
    changed: (view) => {
      parts.listener.changed(view);
    },
    cursor: (shape) => {
      cursor = shape;
      showCursor(canvas, shape, ratio);
    },
    resized: (size) => {
      fit(canvas, size, ratio);
    },
    slice: (change) => {
      parts.listener.slice?.(change);
    },
  };
  const context = contextOf(canvas);
  // Where there are no module workers, the page does it all itself.
  const session =
    (await startInWorker(options, canvas, context, events)) ??
    (await startHere(options, canvas, events));
  const stopped = new AbortController();
  const { signal } = stopped;

  let resizing = 0;
  const room = watchRoom(stage, (size, measured) => {
    ratio = measured;
    fit(canvas, { width: canvas.width, height: canvas.height }, ratio);
    if (cursor) showCursor(canvas, cursor, ratio);
    clearTimeout(resizing);
    resizing = window.setTimeout(() => {
      session.ask(size);
    }, RESIZE_MS);
  });
  const stopInput = takeInput(canvas, session, {
    release: () => {
      parts.releaseKeyboard();
    },
  });
  document.addEventListener(
    'visibilitychange',
    () => {
      session.setVisible(document.visibilityState === 'visible');
    },
    { signal },
  );
  window.addEventListener(
    'online',
    () => {
      session.retry();
    },
    { signal },
  );
  exposeProbe(session);
  session.start();
  return {
    session,
    get isOneToOne() {
      const box = canvas.getBoundingClientRect();
      return Math.abs(box.width * ratio - canvas.width) < 0.5;
    },
    setQuality: (quality) => {
      session.setQuality(quality);
    },
    markRegion: (region) => {
      session.markRegion(region);
    },
    record: (on) => {
      session.record(on);
    },
    watch: (on) => {
      session.watch(on);
    },
    stop: () => {
      stopped.abort();
      stopInput();
      room.disconnect();
      session.close();
    },
  };
}

/** Gives the canvas the size at which one of its pixels is one of the screen. */
function fit(canvas: HTMLCanvasElement, size: Size, ratio: number): void {
  canvas.style.width = `${size.width / ratio}px`;
  canvas.style.height = `${size.height / ratio}px`;
}

function watchRoom(
  stage: HTMLElement,
  changed: (size: Size, ratio: number) => void,
): ResizeObserver {
  const observer = new ResizeObserver((entries) => {
    const entry = entries.at(-1);
    if (entry) changed(sizeOf(entry), ratioOf(entry));
  });
  try {
    observer.observe(stage, { box: 'device-pixel-content-box' });
  } catch {
    observer.observe(stage); // Safari knows CSS pixels only.
  }
  return observer;
}

function roomOf(stage: HTMLElement): Promise<Size> {
  return new Promise((done) => {
    const observer = watchRoom(stage, (size) => {
      observer.disconnect();
      done(size);
    });
  });
}

/** A browser that pretends to another ratio than its screen has is measured, not believed. */
function ratioOf(entry: ResizeObserverEntry): number {
  const exact = (entry.devicePixelContentBoxSize as readonly ResizeObserverSize[] | undefined)?.[0];
  if (!exact || entry.contentRect.width === 0) return devicePixelRatio;
  const measured = exact.inlineSize / entry.contentRect.width;
  // Measured over whole pixels, it is a little off; the ratio told is exact.
  return Math.abs(measured / devicePixelRatio - 1) < 0.02 ? devicePixelRatio : measured;
}

/** Sizes the protocol can name; a window may be smaller or larger. */
function sizeOf(entry: ResizeObserverEntry): Size {
  const exact = (entry.devicePixelContentBoxSize as readonly ResizeObserverSize[] | undefined)?.[0];
  const width = exact?.inlineSize ?? entry.contentRect.width * devicePixelRatio;
  const height = exact?.blockSize ?? entry.contentRect.height * devicePixelRatio;
  const within = (value: number, max: number) => Math.min(max, Math.max(64, Math.floor(value)));
  return { width: within(width, 7680), height: within(height, 4320) };
}

declare global {
  interface Window {
    beamdesk?: Probe;
  }
}

function exposeProbe(session: Handle): void {
  const probe: Probe = {
    get frames() {
      return session.numbers().frames;
    },
    get bytes() {
      return session.numbers().bytes;
    },
    get frame() {
      return session.frame;
    },
    get root() {
      return session.root();
    },
    get exact() {
      return session.view.exact === 'exact';
    },
    get state() {
      return session.view.exact;
    },
    get link() {
      return session.view.link.kind;
    },
    get numbers() {
      return session.numbers();
    },
    get view() {
      return session.view;
    },
    get decodes() {
      return session.view.decodes ?? [];
    },
    inWorker: session.inWorker,
    pixels: (x, y, width, height) => session.pixels({ x, y, width, height }),
  };
  Object.defineProperty(window, 'beamdesk', { value: Object.freeze(probe), configurable: true });
}
