/** Guesses which of the desktop's keyboard layouts is the one in front of the person. */

interface LayoutMap {
  get(code: string): string | undefined;
}

/** What two or three keys give on a layout, where they differ from the American one. */
const MARKS: readonly { layout: string; keys: Readonly<Record<string, string>> }[] = [
  { layout: 'fr', keys: { KeyQ: 'a', KeyW: 'z' } },
  { layout: 'ch', keys: { KeyY: 'z', Minus: "'" } },
  { layout: 'de', keys: { KeyY: 'z', Minus: 'ß' } },
  { layout: 'ru', keys: { KeyQ: 'й' } },
  { layout: 'es', keys: { Semicolon: 'ñ' } },
  { layout: 'it', keys: { Semicolon: 'ò' } },
  { layout: 'se', keys: { Semicolon: 'ö', BracketLeft: 'å' } },
  { layout: 'gb', keys: { Backslash: '#', Backquote: '`' } },
  { layout: 'jp', keys: { BracketLeft: '@' } },
  { layout: 'us', keys: { KeyQ: 'q', KeyY: 'y', Semicolon: ';' } },
];

/** One of `offered`, or null where the browser does not tell. */
export function layoutOf(map: LayoutMap, offered: readonly string[]): string | null {
  const found = MARKS.find(({ keys }) =>
    Object.entries(keys).every(([code, key]) => map.get(code) === key),
  );
  return found && offered.includes(found.layout) ? found.layout : null;
}

export async function guessLayout(offered: readonly string[]): Promise<string | null> {
  const { keyboard } = navigator as Navigator & {
    keyboard?: { getLayoutMap?: () => Promise<LayoutMap> };
  };
  try {
    const map = await keyboard?.getLayoutMap?.();
    return map ? layoutOf(map, offered) : null;
  } catch {
    return null;
  }
}
