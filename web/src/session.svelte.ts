/** Who is logged in, for all pages. */
import { answered, ApiError, client, type Me } from './api/client';
import { rememberPreferences } from './ui/preferences';
import { appearance, asTheme } from './ui/theme.svelte';
import { asLanguage, words } from './text/words.svelte';

type State =
  | { kind: 'unknown' }
  | { kind: 'unreachable' }
  | { kind: 'setup' }
  | { kind: 'out'; byChoice: boolean }
  | { kind: 'in'; me: Me };

class SessionState {
  #state = $state.raw<State>({ kind: 'unknown' });

  get state(): State {
    return this.#state;
  }

  get me(): Me | null {
    return this.#state.kind === 'in' ? this.#state.me : null;
  }

  get isOperator(): boolean {
    return this.me !== null && this.me.role !== 'user';
  }

  get isAdministrator(): boolean {
    return this.me?.role === 'administrator';
  }

  /** Asks the portal who is logged in. */
  async look(): Promise<void> {
    try {
      const { user } = await answered(client.GET('/api/v1/session'));
      this.begun(user);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'unauthenticated') await this.#lookForSetup();
      else this.#state = { kind: 'unreachable' };
    }
  }

  async #lookForSetup(): Promise<void> {
    try {
      const { needed } = await answered(client.GET('/api/v1/setup'));
      this.#state = needed ? { kind: 'setup' } : { kind: 'out', byChoice: false };
    } catch {
      this.#state = { kind: 'unreachable' };
    }
  }

  /** Logged in on a page where language and appearance were chosen: the account takes them over. */
  async begunAsChosen(me: Me): Promise<void> {
    const body = { language: words.language, theme: appearance.theme };
    try {
      this.begun(await answered(client.PATCH('/api/v1/me', { body })));
    } catch {
      this.begun(me); // The choice is made again under Account; logging in matters more.
    }
  }

  begun(me: Me): void {
    this.#state = { kind: 'in', me };
    words.use(asLanguage(me.language) ?? words.language);
    appearance.use(asTheme(me.theme) ?? appearance.theme);
    rememberPreferences();
  }

  /** The portal no longer knows us. */
  ended(byChoice = false): void {
    this.#state = { kind: 'out', byChoice };
  }

  async logOut(): Promise<void> {
    try {
      await answered(client.DELETE('/api/v1/session'));
    } catch (error) {
      // No session to end is as good.
      if (!(error instanceof ApiError) || error.code !== 'unauthenticated') throw error;
    }
    this.ended(true);
  }
}

export const session = new SessionState();
