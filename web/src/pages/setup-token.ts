/** The one-time value in the set-up link. */

let taken: string | null = null;

/** Takes it out of the address, so that it stays in no history and no screenshot. */
export function takeSetupToken(): string | null {
  const fragment = location.hash.slice(1);
  const token = new URLSearchParams(fragment).get('token') ?? fragment;
  if (token !== '') {
    taken = token;
    history.replaceState(null, '', location.pathname);
  }
  return taken;
}
