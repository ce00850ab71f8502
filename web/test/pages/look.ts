/** What a page is made of, written down so that two pages can be compared. */

/** Numbered by the framework, another number each time a page is shown. */
const NUMBERED = new Set([
  'id',
  'for',
  'aria-labelledby',
  'aria-describedby',
  'aria-controls',
  'form',
]);

/** Every element, attribute and text below a node, in order. */
export function parts(node: Node): string[] {
  const found: string[] = [];
  const look = (at: Node): void => {
    if (at instanceof Text) {
      if (at.data !== '') found.push(`text ${at.data}`);
      return;
    }
    if (!(at instanceof Element)) return;
    found.push(`<${at.localName}>`);
    const attributes = [...at.attributes].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { name, value } of attributes) {
      found.push(NUMBERED.has(name) ? name : `${name}=${value}`);
    }
    for (const child of at.childNodes) look(child);
    found.push(`</${at.localName}>`);
  };
  look(node);
  return found;
}
