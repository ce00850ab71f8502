/** One request at a time, with what a page shows of it. */
import { untrack } from 'svelte';

import { ApiError } from '../api/client';
import { session } from '../session.svelte';

export class Task {
  #isBusy = $state(false);
  #error = $state.raw<unknown>(null);

  get isBusy(): boolean {
    return this.#isBusy;
  }

  get error(): unknown {
    return this.#error;
  }

  forget(): void {
    this.#error = null;
  }

  /** Runs it unless one is running; says whether it worked. */
  async run(work: () => Promise<void>): Promise<boolean> {
    // An effect that asks must not ask again because the answer came.
    if (untrack(() => this.#isBusy)) return false;
    this.#isBusy = true;
    this.#error = null;
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.code === 'unauthenticated') session.ended();
      this.#error = error;
      return false;
    } finally {
      this.#isBusy = false;
    }
  }
}
