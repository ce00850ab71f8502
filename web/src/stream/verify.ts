/** Reads the canvas back while nothing moves: first what was drawn, then samples of everything. */
import type { Surface } from './canvas';
import type { Exactness } from './exact';
import type { Picture } from './picture';

/** At rest, so often one row of tiles is read back. */
const SAMPLE_MS = 500;
/** Longest turn, so that reading never holds up a frame or a key for more than that. */
const TURN_MS = 4;

export interface VerifierHost {
  now(): number;
  random(): number;
  later(ms: number, run: () => void): () => void;
  /** Runs soon, when the page has nothing better to do. */
  idle(run: () => void): () => void;
}

export class Verifier {
  readonly #picture: Picture;
  readonly #surface: Surface;
  readonly #exactness: Exactness;
  readonly #host: VerifierHost;
  readonly #onWrong: (tiles: number[]) => void;
  readonly #onChange: () => void;
  #cancelTurn: (() => void) | null = null;
  #cancelSample: (() => void) | null = null;
  /** Rows of tiles still to be sampled in this round. */
  #rows: number[] = [];

  constructor(
    parts: { picture: Picture; surface: Surface; exactness: Exactness; host: VerifierHost },
    events: { wrong(tiles: number[]): void; change(): void },
  ) {
    this.#picture = parts.picture;
    this.#surface = parts.surface;
    this.#exactness = parts.exactness;
    this.#host = parts.host;
    this.#onWrong = (tiles) => {
      events.wrong(tiles);
    };
    this.#onChange = () => {
      events.change();
    };
  }

  /** The agent has confirmed all: reads back what was drawn since the last time. */
  start(): void {
    this.#cancelTurn?.();
    this.#cancelTurn = this.#host.idle(() => {
      this.#turn();
    });
    this.#cancelSample ??= this.#host.later(SAMPLE_MS, () => {
      this.#sample();
    });
  }

  stop(): void {
    this.#cancelTurn?.();
    this.#cancelSample?.();
    this.#cancelTurn = this.#cancelSample = null;
  }

  #turn(): void {
    this.#cancelTurn = null;
    if (!this.#exactness.atRest) return;
    const until = this.#host.now() + TURN_MS;
    const wrong: number[] = [];
    // Whole rows at once: a read costs about the same for one tile as for thirty.
    const rows = new Map<number, number[]>();
    for (const tile of this.#exactness.unverified) {
      const row = Math.floor(tile / this.#picture.columns);
      const others = rows.get(row);
      if (others) others.push(tile);
      else rows.set(row, [tile]);
    }
    for (const tiles of rows.values()) {
      this.#checkAll(tiles, wrong);
      if (this.#host.now() >= until) break;
    }
    this.#report(wrong);
    if (this.#exactness.unverified.size > 0) {
      this.#cancelTurn = this.#host.idle(() => {
        this.#turn();
      });
    }
  }

  #sample(): void {
    this.#cancelSample = this.#host.later(SAMPLE_MS, () => {
      this.#sample();
    });
    if (!this.#exactness.atRest || this.#exactness.unverified.size > 0) return;
    const { columns, tiles } = this.#picture;
    if (this.#rows.length === 0) this.#rows = [...Array(Math.ceil(tiles / columns)).keys()];
    const at = Math.floor(this.#host.random() * this.#rows.length);
    const row = this.#rows.splice(at, 1)[0] ?? 0;
    const first = row * columns;
    const end = Math.min(first + columns, tiles);
    if (first >= tiles) return; // The picture was larger when this round began.
    const wrong: number[] = [];
    this.#checkAll(
      Array.from({ length: end - first }, (_, i) => first + i),
      wrong,
    );
    this.#report(wrong);
  }

  /** Reads back tiles of one row, and one by one only when something between them is wrong. */
  #checkAll(tiles: readonly number[], wrong: number[]): void {
    const rects = tiles.map((tile) => this.#picture.tileRect(tile));
    const x = Math.min(...rects.map((rect) => rect.x));
    const end = Math.max(...rects.map((rect) => rect.x + rect.width));
    const { y, height } = rects[0] ?? { y: 0, height: 0 };
    const area = { x, y, width: end - x, height };
    if (this.#picture.equals(area, this.#surface.read(area))) {
      for (const tile of tiles) this.#exactness.verified(tile, true);
    } else {
      for (const tile of tiles) this.#check(tile, wrong);
    }
  }

  #check(tile: number, wrong: number[]): void {
    const area = this.#picture.tileRect(tile);
    const isRight = this.#picture.equals(area, this.#surface.read(area));
    const { repair } = this.#exactness.verified(tile, isRight);
    if (repair) wrong.push(tile);
  }

  #report(wrong: number[]): void {
    if (wrong.length > 0) this.#onWrong(wrong);
    this.#onChange();
  }
}
