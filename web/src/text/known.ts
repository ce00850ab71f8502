/** Words for codes that come from elsewhere. */

/** Undefined for a code we have no word for, even if objects in general have a field of that name. */
export function known<T>(table: Readonly<Record<string, T>>, code: string): T | undefined {
  return Object.hasOwn(table, code) ? table[code] : undefined;
}
