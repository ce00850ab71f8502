/** Words that a server left for our scripts. */

/** Value of a cookie that scripts may read, as it is; null when there is none. */
export function cookie(name: string): string | null {
  const found = document.cookie.split('; ').find((pair) => pair.startsWith(`${name}=`));
  return found === undefined ? null : found.slice(name.length + 1);
}
