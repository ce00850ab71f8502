/** The list of desktops as the portal sees it, followed live. */
import type { Desktop } from '../api/client';
import { session } from '../session.svelte';

/** The browser comes back by itself after a lost connection, but not after a refusal. */
const RETRY_MS = 3000;

export class Feed {
  #desktops = $state.raw<Desktop[] | null>(null);
  #isLive = $state(false);
  #source: EventSource | null = null;
  #retry = 0;
  readonly #url: string;

  constructor(all: boolean) {
    this.#url = `/api/v1/events${all ? '?all=true' : ''}`;
  }

  /** Null until the first list has come. */
  get desktops(): Desktop[] | null {
    return this.#desktops;
  }

  get isLive(): boolean {
    return this.#isLive;
  }

  /** Starts following; the returned function stops it. */
  follow(): () => void {
    this.#open();
    return () => {
      clearTimeout(this.#retry);
      this.#source?.close();
    };
  }

  #open(): void {
    const source = new EventSource(this.#url);
    this.#source = source;
    source.addEventListener('desktops', (event: MessageEvent<string>) => {
      const { desktops } = JSON.parse(event.data) as { desktops: Desktop[] };
      this.#desktops = desktops.filter((desktop) => desktop.phase !== 'deleted');
      this.#isLive = true;
    });
    source.onerror = () => {
      this.#isLive = false;
      if (source.readyState !== EventSource.CLOSED) return;
      // Refused: perhaps the session is over.
      void session.look();
      this.#retry = window.setTimeout(() => {
        this.#open();
      }, RETRY_MS);
    };
  }
}
