/** Reads the canvas back while nothing moves: first what was drawn, then samples of everything. */
import type { Exactness } from './exact';
import type { Picture, Rect } from './picture';
import type { Surface } from './surface';

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
  /** A reading is under way. */
  #isReading = false;
  /** Counts what was drawn: what was read before says nothing about after. */
  #disturbances = 0;
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
    this.#soon();
    this.#cancelSample ??= this.#host.later(SAMPLE_MS, () => {
      this.#sample();
    });
  }

  /** Something is drawn: a reading that is under way counts no more. */
  disturbed(): void {
    this.#disturbances++;
  }

  stop(): void {
    this.disturbed();
    this.#cancelTurn?.();
    this.#cancelSample?.();
    this.#cancelTurn = this.#cancelSample = null;
  }

  #soon(): void {
    this.#cancelTurn?.();
    this.#cancelTurn = this.#host.idle(() => {
      this.#cancelTurn = null;
      void this.#turn();
    });
  }

  async #turn(): Promise<void> {
    if (!this.#exactness.atRest || this.#isReading) return;
    const until = this.#host.now() + TURN_MS;
    // Whole rows at once: a read costs about the same for one tile as for thirty.
    const rows = new Map<number, number[]>();
    for (const tile of this.#exactness.unverified) {
      const row = Math.floor(tile / this.#picture.columns);
      const others = rows.get(row);
      if (others) others.push(tile);
      else rows.set(row, [tile]);
    }
    await this.#read(async () => {
      for (const tiles of rows.values()) {
        if (!(await this.#checkAll(tiles)) || this.#host.now() >= until) break;
      }
    });
  }

  #sample(): void {
    this.#cancelSample = this.#host.later(SAMPLE_MS, () => {
      this.#sample();
    });
    if (!this.#exactness.atRest || this.#exactness.unverified.size > 0 || this.#isReading) return;
    const { columns, tiles } = this.#picture;
    if (this.#rows.length === 0) this.#rows = [...Array(Math.ceil(tiles / columns)).keys()];
    const at = Math.floor(this.#host.random() * this.#rows.length);
    const row = this.#rows.splice(at, 1)[0] ?? 0;
    const first = row * columns;
    const end = Math.min(first + columns, tiles);
    if (first >= tiles) return; // The picture was larger when this round began.
    const all = Array.from({ length: end - first }, (_, i) => first + i);
    void this.#read(async () => {
      await this.#checkAll(all);
    });
  }

  async #read(run: () => Promise<void>): Promise<void> {
    this.#isReading = true;
    try {
      await run();
    } finally {
      this.#isReading = false;
    }
    if (this.#exactness.atRest && this.#exactness.unverified.size > 0) this.#soon();
    this.#onChange();
  }

  /**
   * Reads back tiles of one row, and one by one only when something between them is wrong.
   * False: something was drawn meanwhile, and nothing is known.
   */
  async #checkAll(tiles: readonly number[]): Promise<boolean> {
    const rects = tiles.map((tile) => this.#picture.tileRect(tile));
    const x = Math.min(...rects.map((rect) => rect.x));
    const end = Math.max(...rects.map((rect) => rect.x + rect.width));
    const { y, height } = rects[0] ?? { y: 0, height: 0 };
    const isRight = await this.#isRight({ x, y, width: end - x, height });
    if (isRight === null) return false;
    if (isRight) {
      for (const tile of tiles) this.#exactness.verified(tile, true);
      return true;
    }
    const wrong: number[] = [];
    for (const tile of tiles) {
      const isTileRight = await this.#isRight(this.#picture.tileRect(tile));
      if (isTileRight === null) return false;
      if (this.#exactness.verified(tile, isTileRight).repair) wrong.push(tile);
    }
    if (wrong.length > 0) this.#onWrong(wrong);
    return true;
  }

  async #isRight(area: Rect): Promise<boolean | null> {
    const before = this.#disturbances;
    const seen = await this.#surface.read(area);
    return before === this.#disturbances ? this.#picture.equals(area, seen) : null;
  }
}
