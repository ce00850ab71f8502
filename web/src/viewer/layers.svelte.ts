/** The 16-bit pictures on show, each with the contrast that it is seen with. */
import { type Contrast, rangeOf } from '../stream/contrast';
import type { SliceAt, SliceChange } from '../stream/slices';

/** One picture on show. */
export interface Layer {
  readonly place: number;
  readonly at: SliceAt;
  readonly values: Uint16Array<ArrayBuffer>;
  readonly range: { readonly lowest: number; readonly highest: number };
  /** The values have the hash that the desktop computed. */
  readonly isExact: boolean;
  /** A newer one is on its way. */
  readonly isComing: boolean;
  readonly contrast: Contrast;
}

export class Layers {
  /** In the order they lie on each other. */
  all = $state.raw<readonly Layer[]>([]);
  /** What the user has chosen; stays while the program pages through its slices. */
  readonly #chosen: (Contrast | undefined)[] = [];
  /** What programs want that have hidden their pictures. */
  readonly #hidden: (Contrast | undefined)[] = [];

  take(change: SliceChange): void {
    const { place } = change;
    const before = this.of(place);
    switch (change.kind) {
      case 'values': {
        const { at, values, isExact } = change;
        const hidden = this.#hidden[place];
        this.#hidden[place] = undefined;
        // Shown again, it is as the user left it; another program's begins as that program wants.
        if (hidden && !isSame(hidden, at)) this.#chosen[place] = undefined;
        const contrast = this.#chosen[place] ?? wished(at);
        const range = rangeOf(values);
        this.#put({ place, at, values, range, isExact, isComing: false, contrast });
        break;
      }
      case 'move':
        if (before) {
          const contrast = this.#chosen[place] ?? wished(change.at);
          this.#put({ ...before, at: change.at, contrast });
        }
        break;
      case 'coming':
        if (before) this.#put({ ...before, isComing: true });
        break;
      case 'hide':
        if (before) this.#hidden[place] = wished(before.at);
        this.all = this.all.filter((layer) => layer.place !== place);
        break;
    }
  }

  of(place: number): Layer | undefined {
    return this.all.find((layer) => layer.place === place);
  }

  choose(place: number, contrast: Contrast): void {
    const layer = this.of(place);
    if (!layer) return;
    const chosen = { window: Math.max(1, contrast.window), level: contrast.level };
    this.#chosen[place] = chosen;
    this.#put({ ...layer, contrast: chosen });
  }

  /** Back to what the program wants. */
  reset(place: number): void {
    this.#chosen[place] = undefined;
    const layer = this.of(place);
    if (layer) this.#put({ ...layer, contrast: wished(layer.at) });
  }

  #put(layer: Layer): void {
    const others = this.all.filter((other) => other.place !== layer.place);
    this.all = [...others, layer].sort((a, b) => a.place - b.place);
  }
}

function isSame(one: Contrast, other: Contrast): boolean {
  return one.window === other.window && one.level === other.level;
}

function wished({ window, level }: SliceAt): Contrast {
  return { window, level };
}
