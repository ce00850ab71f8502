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
      // Nobody can log in before there is an account, unless an identity provider makes them.
      const isOnlyWay = needed && (location.pathname === '/setup' || !(await hasProvider()));
      this.#state = isOnlyWay ? { kind: 'setup' } : { kind: 'out', byChoice: false };
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
      // Where the session stood on one of the identity provider, that ends on a page of its own.
      const next = await answered<{ url: string } | undefined>(client.DELETE('/api/v1/session'));
      if (next) return await leave(next.url);
    } catch (error) {
      // No session to end is as good.
      if (!(error instanceof ApiError) || error.code !== 'unauthenticated') throw error;
    }
    this.ended(true);
  }
}

async function hasProvider(): Promise<boolean> {
  const { provider } = await answered(client.GET('/api/v1/login-ways'));
  return (provider ?? null) !== null;
}

/** Goes to a page of somebody else; never returns, because the page of ours ends. */
export async function leave(url: string): Promise<never> {
  location.assign(url);
  return await new Promise<never>(() => undefined);
}

export const session = new SessionState();
