/** Where the portal is: the gateway says so in a cookie when it lets a viewer in. */
import { cookie } from '../ui/cookie';

/** Null: it is not known, and a page can only speak of it. */
export function portalOrigin(): string | null {
  return asOrigin(cookie('beamdesk-portal'));
}

/** An origin of the web, spelled as browsers do; null for anything else, for it becomes a link. */
export function asOrigin(text: string | null): string | null {
  if (text === null) return null;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  const isWeb = url.protocol === 'https:' || url.protocol === 'http:';
  return isWeb && url.origin === text ? text : null;
}
