/**
 * Whether what is drawn is, pixel for pixel, what the desktop shows.
 *
 * ```text
 *             connected            exact from the agent, own root equal,
 *   offline ───────────▶ catching_up ──────────────────────────────────▶ exact
 *                          ▲    ▲      and every tile drawn reads back     │
 *                          │    └───────────────── a frame ────────────────┘
 *                          └── sent again, and reads back right ── broken ◀── a tile reads back wrong,
 *                                                                             or the roots differ
 * ```
 */

export type ExactState = 'offline' | 'catching_up' | 'exact' | 'broken';

/** After so many wrong readings of one tile it is not asked for again until it changes. */
const REPAIRS_MAX = 3;

export class Exactness {
  #connected = false;
  /** The agent said exact for the last frame, and our root is its root. */
  #confirmed = false;
  #rootsDiffer = false;
  /** Tiles drawn and not yet read back. */
  readonly #unverified = new Set<number>();
  /** Tiles that read back wrong, with how often. */
  readonly #wrong = new Map<number, number>();

  get state(): ExactState {
    if (!this.#connected) return 'offline';
    if (this.#wrong.size > 0 || this.#rootsDiffer) return 'broken';
    return this.#confirmed && this.#unverified.size === 0 ? 'exact' : 'catching_up';
  }

  /** Nothing is moving: time to read back what was drawn. */
  get atRest(): boolean {
    return this.#connected && this.#confirmed;
  }

  get unverified(): ReadonlySet<number> {
    return this.#unverified;
  }

  connected(): void {
    this.#connected = true;
    this.#forget();
  }

  disconnected(): void {
    this.#connected = false;
    this.#forget();
  }

  /** The picture has other tiles now. */
  resized(): void {
    this.#forget();
  }

  /** These tiles were drawn. */
  drawn(tiles: Iterable<number>): void {
    this.#confirmed = false;
    this.#rootsDiffer = false;
    for (const tile of tiles) this.#unverified.add(tile);
  }

  /** The agent says that we hold what it has. */
  claimed(
    claim: { frame: number; root: string },
    own: { frame: number | null; root: string },
  ): void {
    // A claim about an earlier frame says nothing about this one.
    if (own.frame !== null && claim.frame !== own.frame) return;
    this.#rootsDiffer = claim.root !== own.root;
    this.#confirmed = !this.#rootsDiffer;
  }

  /** A tile was read back. Says whether it should be asked for again. */
  verified(tile: number, isRight: boolean): { repair: boolean } {
    this.#unverified.delete(tile);
    if (isRight) {
      this.#wrong.delete(tile);
      return { repair: false };
    }
    const times = (this.#wrong.get(tile) ?? 0) + 1;
    this.#wrong.set(tile, times);
    return { repair: times <= REPAIRS_MAX };
  }

  #forget(): void {
    this.#confirmed = false;
    this.#rootsDiffer = false;
    this.#unverified.clear();
    this.#wrong.clear();
  }
}
