/** Compiles AssemblyScript: `import { code } from './x.ts?wasm'` gives the module as base64. */
import { readFileSync } from 'node:fs';

import asc from 'assemblyscript/asc';

const SUFFIX = '?wasm';
const OPTIONS = '-O3 --runtime stub --noAssert --enable simd --use abort= --config none';

export function wasm() {
  return {
    name: 'wasm',
    enforce: 'pre',
    async load(id) {
      if (!id.endsWith(SUFFIX)) return null;
      const file = id.slice(0, -SUFFIX.length);
      this.addWatchFile(file);
      const code = await compile(readFileSync(file, 'utf8'));
      // Ours is small; as text it needs no second request and works the same in tests.
      return `export const code = ${JSON.stringify(Buffer.from(code).toString('base64'))};`;
    },
  };
}

async function compile(source) {
  let code = null;
  const stderr = asc.createMemoryStream();
  const { error } = await asc.main(['main.ts', '--outFile', 'main.wasm', ...OPTIONS.split(' ')], {
    readFile: (name) => (name === 'main.ts' ? source : null),
    writeFile: (name, contents) => {
      if (name === 'main.wasm') code = contents;
    },
    listFiles: () => [],
    stderr,
  });
  if (error || code === null) throw new Error(`AssemblyScript: ${stderr.toString()}`);
  return code;
}
