// Benchmarks that need a whole system and a browser. Prints a table; `--json FILE` writes the figures.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, tool: { type: 'string' } },
});
const [name] = positionals;
const { bench } = await import(`./${name}.mjs`);
const figures = [];

/** Notes one figure: the median of its samples. */
function figure(id, unit, samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.floor((sorted.length - 1) / 2)];
  const command = `cargo xtask bench ${name}`;
  figures.push({ name: id, value: Number(value.toPrecision(4)), unit, n: sorted.length, command });
  console.log(
    `${id.padEnd(40)} ${value.toPrecision(4).padStart(10)} ${unit.padEnd(8)} n ${sorted.length}`,
  );
}

await bench({ figure, tool: values.tool });
if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, undefined, 1)}\n`);
process.exit(0);
