/** Takes keys and pointer from an element and sends them; lets go of all when focus is lost. */
import type { ViewerMessage } from './proto';

export interface InputTarget {
  send(message: ViewerMessage): void;
  /** Sends where the pointer is, unless the line is full. */
  point(x: number, y: number): void;
}

export interface InputOptions {
  /** Ctrl+Alt+Shift was pressed and let go: the keyboard goes to the page's own controls. */
  release(): void;
}

/** Pointer moves are sent no more often than this, milliseconds. */
const POINT_MS_MIN = 4;
/** What `wheelDelta` gives for one notch of a wheel. */
const WHEEL_UNITS = 120;
/** One event never turns the wheel further than this. */
const NOTCHES_MAX = 20;

/** Starts taking input; the returned function stops it. */
export function takeInput(
  canvas: HTMLCanvasElement,
  target: InputTarget,
  options: InputOptions,
): () => void {
  const input = new Input(canvas, target, options);
  const stopped = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(
    type: K,
    run: (event: HTMLElementEventMap[K]) => void,
  ) => {
    canvas.addEventListener(type, run, { signal: stopped.signal, passive: false });
  };
  on('keydown', (e) => {
    input.keyDown(e);
  });
  on('keyup', (e) => {
    input.keyUp(e);
  });
  on('pointerdown', (e) => {
    input.button(e, true);
  });
  on('pointerup', (e) => {
    input.button(e, false);
  });
  // Chords: while one button is held, others come as moves.
  on('pointermove', (e) => {
    input.move(e, true);
  });
  on('pointercancel', () => {
    input.releaseAll();
  });
  on('wheel', (e) => {
    input.wheel(e);
  });
  on('contextmenu', (e) => {
    e.preventDefault();
  });
  on('blur', () => {
    input.releaseAll();
  });
  canvas.addEventListener(
    'pointerrawupdate' as 'pointermove',
    (e) => {
      input.move(e, false);
    },
    { signal: stopped.signal },
  );
  window.addEventListener(
    'blur',
    () => {
      input.releaseAll();
    },
    { signal: stopped.signal },
  );
  return () => {
    stopped.abort();
    input.releaseAll();
  };
}

class Input {
  readonly #canvas: HTMLCanvasElement;
  readonly #target: InputTarget;
  readonly #options: InputOptions;
  readonly #keys = new Set<string>();
  #buttons = 0;
  #pointedAt = 0;
  /** Only Ctrl, Alt and Shift have been pressed since all keys were up. */
  #isReleaseChord = false;

  constructor(canvas: HTMLCanvasElement, target: InputTarget, options: InputOptions) {
    this.#canvas = canvas;
    this.#target = target;
    this.#options = options;
  }

  keyDown(event: KeyboardEvent): void {
    event.preventDefault();
    const code = event.code;
    // The desktop repeats held keys by itself.
    if (code === '' || code === 'Unidentified' || this.#keys.has(code)) return;
    if (this.#keys.size === 0) this.#isReleaseChord = true;
    if (!/^(Control|Alt|Shift)(Left|Right)$/.test(code)) this.#isReleaseChord = false;
    this.#keys.add(code);
    this.#target.send({ type: 'key', code, down: true });
  }

  keyUp(event: KeyboardEvent): void {
    event.preventDefault();
    const { code } = event;
    const isChord = this.#isReleaseChord && this.#holdsAll('Control', 'Alt', 'Shift');
    if (this.#keys.delete(code)) this.#target.send({ type: 'key', code, down: false });
    // macOS tells nothing of keys let go while Meta is held.
    if (code.startsWith('Meta')) {
      for (const held of this.#keys) this.#target.send({ type: 'key', code: held, down: false });
      this.#keys.clear();
    }
    if (isChord) {
      this.releaseAll();
      this.#options.release();
    }
  }

  move(event: PointerEvent, isFinal: boolean): void {
    this.#chords(event);
    if (!isFinal && event.timeStamp - this.#pointedAt < POINT_MS_MIN) return;
    this.#pointedAt = event.timeStamp;
    const { x, y } = this.#position(event);
    this.#target.point(x, y);
  }

  button(event: PointerEvent, down: boolean): void {
    event.preventDefault();
    if (down) {
      this.#canvas.focus({ preventScroll: true });
      this.#canvas.setPointerCapture(event.pointerId);
    }
    this.#chords(event);
  }

  wheel(event: WheelEvent): void {
    event.preventDefault();
    const { x, y } = this.#position(event);
    const dx = notches(event, 'x');
    const dy = notches(event, 'y');
    if (dx !== 0 || dy !== 0) this.#target.send({ type: 'wheel', x, y, dx, dy });
  }

  releaseAll(): void {
    if (this.#keys.size === 0 && this.#buttons === 0) return;
    this.#keys.clear();
    this.#buttons = 0;
    this.#isReleaseChord = false;
    this.#target.send({ type: 'release_all' });
  }

  /** Sends what changed between the buttons held and those of the event. */
  #chords(event: PointerEvent): void {
    const changed = this.#buttons ^ event.buttons;
    if (changed === 0) return;
    const { x, y } = this.#position(event);
    // `buttons` has its own order: left, right, middle, back, forward.
    const numbers = [0, 2, 1, 3, 4];
    for (const [bit, button] of numbers.entries()) {
      const mask = 1 << bit;
      if (!(changed & mask)) continue;
      const down = (event.buttons & mask) !== 0;
      this.#target.send({ type: 'button', x, y, button, down });
    }
    this.#buttons = event.buttons;
  }

  #position(event: MouseEvent): { x: number; y: number } {
    const box = this.#canvas.getBoundingClientRect();
    const scale = (offset: number, shown: number, pixels: number) =>
      Math.min(pixels - 1, Math.max(0, Math.floor((offset * pixels) / Math.max(1, shown))));
    return {
      x: scale(event.clientX - box.left, box.width, this.#canvas.width),
      y: scale(event.clientY - box.top, box.height, this.#canvas.height),
    };
  }

  #holdsAll(...keys: string[]): boolean {
    return keys.every((key) => this.#keys.has(`${key}Left`) || this.#keys.has(`${key}Right`));
  }
}

/** Notches of a wheel; positive is down and right. */
function notches(event: WheelEvent, axis: 'x' | 'y'): number {
  const delta = axis === 'x' ? event.deltaX : event.deltaY;
  const legacy = event as WheelEvent & { wheelDeltaX?: number; wheelDeltaY?: number };
  const units = axis === 'x' ? legacy.wheelDeltaX : legacy.wheelDeltaY;
  let turned: number;
  // Lines (1) and pages (2) are counted by the browser; pixels depend on its settings, units do not.
  if (event.deltaMode === WheelEvent.DOM_DELTA_LINE) turned = delta / 3;
  else if (event.deltaMode === WheelEvent.DOM_DELTA_PAGE) turned = delta * 3;
  else if (units !== undefined && units !== 0) turned = -units / WHEEL_UNITS;
  else turned = delta / 100;
  return Math.min(NOTCHES_MAX, Math.max(-NOTCHES_MAX, turned));
}
