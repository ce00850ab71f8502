/** A page's hold on a session, whether that runs in a worker or on the page itself. */
import { CanvasSurface, type Context } from './canvas';
import type { Cursor } from './cursor';
import type { Call, ToPage, ToWorker } from './link';
import type { Pixels, Rect } from './picture';
import type { Quality, ViewerMessage } from './proto';
import { Painter } from './remote';
import type { SliceChange } from './slices';
import type { Controls, Sample, Size, View } from './session';
import { type Numbers, Stats } from './stats';

export interface Options {
  readonly desktop: string;
  readonly size: Size;
  readonly quality: Quality;
}

export interface PageEvents {
  changed(view: View): void;
  cursor(cursor: Cursor): void;
  resized(size: Size): void;
  slice(change: SliceChange): void;
}

export interface Handle extends Controls {
  readonly view: View;
  /** Last frame shown. */
  readonly frame: number | null;
  readonly inWorker: boolean;
  /** Root over the tiles as held when it was shown, as text. */
  root(): string;
  numbers(): Numbers;
  /** What the canvas really shows. */
  pixels(area: Rect): Promise<Pixels>;
}

/** What the page knows of the session from what it was told. */
class Known {
  readonly stats = new Stats();
  view: View;
  sample: Sample | null = null;

  constructor(quality: Quality) {
    this.view = {
      link: { kind: 'connecting' },
      exact: 'offline',
      desktopName: null,
      userName: null,
      size: null,
      refusedBeyond: null,
      layouts: [],
      notice: null,
      status: null,
      marked: [],
      region: null,
      recording: false,
      mayRecord: false,
      recordingTrouble: null,
      decodes: null,
      quality,
    };
  }

  changed(view: View): void {
    if (view.link.kind === 'waiting' && this.view.link.kind !== 'waiting') {
      this.stats.reconnected();
    }
    // A new stream counts its frames anew.
    if (view.link.kind === 'open' && this.view.link.kind !== 'open') this.sample = null;
    this.view = view;
  }

  shown(sample: Sample): void {
    this.sample = sample;
    const { isVideo, bytes, bytesEver, decodeMs, drawMs } = sample;
    this.stats.received(bytesEver);
    this.stats.shown({ at: performance.now(), isVideo, bytes, decodeMs, drawMs });
  }
}

/** Null where the browser has no module workers. */
export function startInWorker(
  options: Options,
  canvas: HTMLCanvasElement,
  context: Context,
  events: PageEvents,
): Promise<Handle | null> {
  let worker: Worker;
  try {
    worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  } catch {
    return Promise.resolve(null);
  }
  const post = (message: ToWorker, transfer: Transferable[] = []) => {
    worker.postMessage(message, transfer);
  };
  const known = new Known(options.quality);
  const waiting = new Map<number, (pixels: Pixels) => void>();
  let asked = 0;
  const painter = new Painter(canvas, context, (stroke, transfer) => {
    post({ type: 'stroke', stroke }, transfer);
  });
  const call = (call: Call) => {
    post({ type: 'call', call });
  };
  const handle: Handle = {
    ...controls(known, call),
    get view() {
      return known.view;
    },
    get frame() {
      return known.sample?.frame ?? null;
    },
    inWorker: true,
    root: () => known.sample?.root ?? '',
    numbers: () => known.stats.numbers(performance.now()),
    pixels: (area) =>
      new Promise((done) => {
        waiting.set(++asked, done);
        post({ type: 'pixels', id: asked, area });
      }),
  };
  return new Promise((done) => {
    worker.onerror = (event) => {
      event.preventDefault();
      console.warn('The worker failed:', event.message);
      worker.terminate();
      done(null);
    };
    worker.onmessage = ({ data }: MessageEvent<ToPage>) => {
      switch (data.type) {
        case 'ready':
          worker.onerror = null;
          done(handle);
          break;
        case 'failed':
          console.warn('The worker failed:', data.message);
          worker.terminate();
          done(null);
          break;
        case 'changed':
          known.changed(data.view);
          events.changed(data.view);
          break;
        case 'cursor':
          events.cursor(data.cursor);
          break;
        case 'resized':
          events.resized(data.size);
          break;
        case 'shown':
          known.shown(data.sample);
          break;
        case 'slice':
          events.slice(data.change);
          break;
        case 'brush':
          painter.take(data.brush);
          break;
        case 'pixels':
          waiting.get(data.id)?.(data.pixels);
          waiting.delete(data.id);
          break;
      }
    };
    post({ type: 'open', ...options });
  });
}

function controls(known: Known, call: (call: Call) => void): Controls {
  return {
    start: () => {
      call({ call: 'start', with: [] });
    },
    close: () => {
      call({ call: 'close', with: [] });
    },
    retry: () => {
      call({ call: 'retry', with: [] });
    },
    send: (message) => {
      asked(known, message);
      call({ call: 'send', with: [message] });
    },
    point: (...point) => {
      call({ call: 'point', with: point });
    },
    ask: (size) => {
      call({ call: 'ask', with: [size] });
    },
    setVisible: (visible) => {
      call({ call: 'setVisible', with: [visible] });
    },
    setLayout: (name) => {
      call({ call: 'setLayout', with: [name] });
    },
    setQuality: (quality) => {
      call({ call: 'setQuality', with: [quality] });
    },
    markRegion: (region) => {
      call({ call: 'markRegion', with: [region] });
    },
    record: (on) => {
      call({ call: 'record', with: [on] });
    },
    watch: (on) => {
      call({ call: 'watch', with: [on] });
    },
  };
}

/** A key or button was sent: the next frame may be the answer. */
function asked(known: Known, message: ViewerMessage): void {
  if (message.type === 'key' || message.type === 'button') known.stats.asked(performance.now());
}

/** All on the page; the parts are loaded only then. */
export async function startHere(
  options: Options,
  canvas: HTMLCanvasElement,
  events: PageEvents,
): Promise<Handle> {
  const { frameWay, loadCore } = await import('./core');
  const known = new Known(options.quality);
  const surface = new CanvasSurface(canvas, frameWay, () => performance.now());
  const session = await loadCore(options, surface, {
    ...events,
    changed: (view) => {
      known.changed(view);
      events.changed(view);
    },
    shown: (sample) => {
      known.shown(sample);
    },
  });
  return {
    ...controls(known, ({ call, with: given }) => {
      (session[call] as (...given: unknown[]) => void).apply(session, given);
    }),
    get view() {
      return session.view;
    },
    get frame() {
      return session.frame;
    },
    inWorker: false,
    root: () => session.root(),
    numbers: () => known.stats.numbers(performance.now()),
    pixels: (area) => session.pixels(area),
  };
}
