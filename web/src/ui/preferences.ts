/**
 * Language and appearance before anybody is logged in, and in the viewer.
 *
 * Kept in this browser only as a convenience; the account's own choice wins. Nothing secret is ever
 * kept there.
 */
import { asLanguage, preferredLanguage, words } from '../text/words.svelte';
import { cookie } from './cookie';
import { appearance, asTheme } from './theme.svelte';

/** Applies what the address says, else what this browser was told before, else its own language. */
export function applyPreferences(): void {
  const query = new URLSearchParams(location.search);
  const said = (name: string) =>
    query.get(name) ?? cookie(`beamdesk-${name}`) ?? read(`beamdesk-${name}`);
  words.use(asLanguage(said('lang')) ?? preferredLanguage());
  appearance.use(asTheme(said('theme')) ?? 'system');
}

export function rememberPreferences(): void {
  write('beamdesk-lang', words.language);
  write('beamdesk-theme', appearance.theme);
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // Storage is switched off.
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
}
