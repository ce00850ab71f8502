// The whole path: frames that reach the browser, how late, at what cost and how true, for us and for the peers.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { binaries } from '../e2e/system.mjs';
import { measure, sizes } from './stream/cell.mjs';
import { peerTools, products } from './stream/products.mjs';
import { writeReport } from './stream/report.mjs';
import { lines } from './stream/tools.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const contents = ['terminal', 'document', 'view3d', 'ct', 'idle'];
/** Contents beside which a small change is timed. */
const loads = ['view3d', 'ct'];
/** What is measured when nothing is said: all lines at 1080p; at 2160p the cost of pixels, not of lines. */
const usual = ['stream.*.1080p.*', 'stream.*.2160p.loopback.*'];
const units = {
  fps: '1/s',
  drawn_fps: '1/s',
  bytes_per_s: 'B/s',
  exact_bytes: 'B',
  psnr: 'dB',
  ssim: '',
  exact_share: '',
  seen: '',
  small_seen: '',
  back: 'frames',
  lag: 'frames',
  unreadable: 'reads',
  server_cpu: 'cores',
  agent_cpu: 'cores',
  gateway_cpu: 'cores',
  x_cpu: 'cores',
  browser_cpu: 'cores',
};
const inMs = [
  ...['', 'small_'].flatMap((of) => [50, 90, 99].map((part) => `${of}p${part}_ms`)),
  ...['exact_ms', 'exact_bound_ms', 'freeze_ms', 'queue_ms', 'queue_back_ms', 'clock_error_ms'],
];
const unitOf = (name) => units[name] ?? 'ms';
const measureNames = new Set([...Object.keys(units), ...inMs]);

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string', multiple: true },
    products: { type: 'string' },
    seconds: { type: 'string', default: '8' },
    tools: { type: 'string' },
    report: { type: 'string' },
    /** Keeps what the file has, and measures the rest. */
    resume: { type: 'boolean', default: false },
    /** Measures nothing: a report of what these files have. */
    from: { type: 'string', multiple: true },
  },
});

const load = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []);
const profileFile = (file) => file.replace(/(\.json)?$/, '.profile.json');

let figures = [];
const profiles = {};
for (const file of values.from ?? (values.resume && values.json ? [values.json] : [])) {
  const later = load(file);
  const names = new Set(later.map(({ name }) => name));
  figures = [...figures.filter(({ name }) => !names.has(name)), ...later];
  Object.assign(profiles, load(profileFile(file)));
}
if (values.from) {
  writeReport(values.report ?? '.', figures, profiles);
  process.exit(0);
}

/** Whether a figure of this cell is asked for. */
function isWanted(cell, asked) {
  return asked.some((pattern) => {
    const regex = (text) => new RegExp(`^${text.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
    return [...measureNames].some((name) => regex(pattern).test(`${cell}.${name}`));
  });
}

function note(cell, { threads, stages, ...measures }) {
  for (const [name, value] of Object.entries(measures)) {
    if (value === undefined || !Number.isFinite(value)) continue;
    const command = `cargo xtask bench stream --only '${cell}.*'`;
    const rounded = Number(value.toPrecision(4));
    figures.push({ name: `${cell}.${name}`, value: rounded, unit: unitOf(name), n: 1, command });
    console.log(`${`${cell}.${name}`.padEnd(52)} ${String(rounded).padStart(10)} ${unitOf(name)}`);
  }
  if (threads) profiles[cell] = { threads, stages };
  if (!values.json) return;
  writeFileSync(values.json, `${JSON.stringify(figures, undefined, 1)}\n`);
  writeFileSync(profileFile(values.json), `${JSON.stringify(profiles, undefined, 1)}\n`);
}

const names = values.products?.split(',') ?? Object.keys(products);
for (const name of names) {
  if (!(name in products)) throw new Error(`no such product: ${name}`);
}
const tools = values.tools ?? join(binaries, 'examples');
for (const tool of ['movie', 'line']) {
  if (!existsSync(join(tools, tool))) throw new Error(`no program ${tool} in ${tools}`);
}
mkdirSync(join(root, '.tools'), { recursive: true });
const has = new Set(figures.map(({ name }) => name.split('.').slice(0, 5).join('.')));
const missing = [];

let running;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    Promise.resolve(running?.stop()).finally(() => process.exit(1));
  });
}

for (const size of Object.keys(sizes)) {
  for (const name of names) {
    const todo = contents
      .flatMap((content) =>
        Object.keys(lines).map((line) => ({
          content,
          line,
          cell: `stream.${content}.${size}.${line}.${name}`,
        })),
      )
      .filter(({ line, content }) => line !== 'step' || loads.includes(content))
      .filter(({ cell }) => isWanted(cell, values.only ?? usual) && !has.has(cell));
    if (todo.length === 0) continue;
    console.log(`\n${name}, ${size}: ${todo.length} to measure`);
    let product;
    try {
      running = product = await products[name](sizes[size], peerTools(names, join(root, '.tools')));
    } catch (error) {
      missing.push(`${name} at ${size}: ${error.message}`);
      console.error(`${name} cannot be run: ${error.message}`);
      continue;
    }
    for (const { content, line, cell } of todo) {
      try {
        const beside = loads.includes(content);
        const seconds = Number(values.seconds);
        note(cell, await measure({ product, content, size, line, seconds, tools, beside }));
      } catch (error) {
        missing.push(`${cell}: ${error.message}`);
        console.error(`${cell}: ${error.stack}`);
      }
    }
    await product.stop();
  }
}
if (values.report) writeReport(values.report, figures, profiles);
if (missing.length > 0) console.error(`\nNot measured:\n${missing.join('\n')}`);
process.exit(missing.length > 0 ? 1 : 0);
