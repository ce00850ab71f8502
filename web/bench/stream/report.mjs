// Tables and plots of the figures.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const contents = ['terminal', 'document', 'view3d', 'ct', 'idle'];
const sizes = ['1080p', '2160p'];
const links = ['loopback', '100m20', '20m80', 'loss1', 'step'];
const products = ['beamdesk', 'novnc', 'selkies', 'xpra'];
/** Told apart also without colours: each product has its place in a group. */
const colours = { beamdesk: '#1f6feb', novnc: '#8b949e', selkies: '#d29922', xpra: '#2da44e' };

/** Writes `stream.md` and a plot for each content. */
export function writeReport(folder, figures, profiles) {
  mkdirSync(folder, { recursive: true });
  const values = new Map(figures.map(({ name, value }) => [name, value]));
  const get = (content, size, link, product, measure) =>
    values.get(`stream.${content}.${size}.${link}.${product}.${measure}`);
  const sections = sizes.flatMap((size) => links.flatMap((link) => table(get, size, link)));
  writeFileSync(join(folder, 'stream.md'), `${[...sections, ...costs(profiles)].join('\n')}\n`);
  for (const content of contents.filter((content) => content !== 'idle')) {
    const drawing = plot(get, content);
    if (drawing) writeFileSync(join(folder, `stream-${content}.svg`), drawing);
  }
}

const number = (value, digits) => (value === undefined ? '–' : value.toFixed(digits));
const several = (values, digits = 0) =>
  values.every((value) => value === undefined)
    ? '–'
    : values.map((value) => number(value, digits)).join(' / ');
const megabits = (value) => (value === undefined ? '–' : ((value * 8) / 1e6).toFixed(1));
const rest = (value) => (value === -1 ? 'never' : number(value, 0));

function table(get, size, link) {
  const rows = [];
  for (const content of contents) {
    for (const product of products) {
      const of = (measure) => get(content, size, link, product, measure);
      const all = (...measures) => measures.map(of);
      if (of('clock_error_ms') === undefined) continue;
      const cells =
        link === 'step'
          ? [
              ...[number(of('fps'), 1), several(all('p50_ms', 'p90_ms', 'p99_ms'))],
              ...[rest(of('queue_ms')), rest(of('queue_back_ms')), rest(of('freeze_ms'))],
            ]
          : [
              number(of('fps'), 1),
              several(all('p50_ms', 'p90_ms', 'p99_ms')),
              rest(of('freeze_ms')),
              several(all('small_p50_ms', 'small_p90_ms')),
              rest(of('exact_ms')) +
                (of('exact_bound_ms') === undefined ? '' : ` (≤ ${rest(of('exact_bound_ms'))})`),
              megabits(of('bytes_per_s')),
              several(all('server_cpu', 'browser_cpu'), 2),
              `${number(of('psnr'), 1)} / ${number(of('ssim'), 3)}`,
              number(of('exact_share') === undefined ? undefined : 100 * of('exact_share'), 0),
            ];
      rows.push(`| ${[content, product, ...cells].join(' | ')} |`);
    }
  }
  if (rows.length === 0) return [];
  const heads =
    link === 'step'
      ? [
          ...['frames/s', 'p50 / p90 / p99 ms'],
          ...['longest wait on the line, ms', 'below 100 ms after, ms', 'longest freeze, ms'],
        ]
      : [
          ...['frames/s', 'p50 / p90 / p99 ms', 'freeze ms', 'small change p50 / p90 ms'],
          ...['rest to exact, ms', 'Mbit/s', 'cores: server / browser', 'PSNR / SSIM', 'exact %'],
        ];
  const head = ['content', 'product', ...heads];
  return [
    `### ${size}, ${link}`,
    '',
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---').join('|')}|`,
    ...rows,
    '',
  ];
}

/** Where the time of ours goes: what the stream says of its stages, and the threads that were busiest. */
function costs(profiles) {
  const cells = Object.keys(profiles).filter((cell) => cell.endsWith('.beamdesk'));
  if (cells.length === 0) return [];
  const ms = (us) => number(us === undefined ? undefined : us / 1000, 1);
  const rows = cells.map((cell) => {
    const { threads, stages } = profiles[cell];
    const { status, numbers } = stages ?? {};
    const busy = threads.slice(0, 8).map(({ name, cores }) => `${name} ${cores.toFixed(2)}`);
    const row = [
      cell.split('.').slice(1, 4).join(' '),
      status ? `${status.encoder}${status.qp === null ? '' : `, QP ${status.qp}`}` : '–',
      [status?.capture_us, status?.encode_us, status?.way_us, status?.queue_us].map(ms).join(' / '),
      `${number(numbers?.decodeMs, 1)} / ${number(numbers?.drawMs, 1)}`,
      status?.limit ?? '–',
      busy.join('; '),
    ];
    return `| ${row.join(' | ')} |`;
  });
  return [
    '### Where the time goes',
    '',
    'Means of a second near the end, as the stream tells them, and the busiest threads in cores.',
    '',
    '| run | encoder | capture / encode / way / queue ms | decode / draw ms | limit | threads |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ];
}

/** Frames a second and lateness over the lines at 1080p, one bar for each product. */
function plot(get, content) {
  const shown = links.filter(
    (link) =>
      link !== 'step' &&
      products.some((product) => get(content, '1080p', link, product, 'fps') !== undefined),
  );
  if (shown.length === 0) return undefined;
  const panels = [
    { measure: 'fps', title: 'frames a second', most: 60 },
    { measure: 'p90_ms', title: 'draw to glass, p90, ms', most: 200 },
  ];
  const [bar, gap, high, left, top] = [16, 26, 140, 44, 34];
  const group = products.length * bar + gap;
  const wide = left + shown.length * group + 10;
  const parts = [];
  for (const [index, { measure, title, most }] of panels.entries()) {
    const [x, y] = [index * wide, top];
    parts.push(`<text x="${x + left}" y="${y - 12}" class="title">${content}: ${title}</text>`);
    for (const part of [0, 0.5, 1]) {
      const down = y + high * (1 - part);
      parts.push(
        `<path d="M${x + left} ${down}H${x + wide - 10}" stroke="#d0d7de"/>`,
        `<text x="${x + left - 6}" y="${down + 4}" text-anchor="end">${most * part}</text>`,
      );
    }
    for (const [place, link] of shown.entries()) {
      const from = x + left + place * group + gap / 2;
      for (const [turn, product] of products.entries()) {
        const value = get(content, '1080p', link, product, measure);
        if (value === undefined) continue;
        const length = (Math.min(value, most) / most) * high;
        const [bx, by] = [from + turn * bar, y + high - length];
        parts.push(
          `<rect x="${bx}" y="${by.toFixed(1)}" width="${bar - 2}" height="${length.toFixed(1)}" fill="${colours[product]}"><title>${product} ${value}</title></rect>`,
          `<text x="${bx + bar / 2 - 1}" y="${(by - 3).toFixed(1)}" class="value">${value.toFixed(0)}</text>`,
        );
      }
      const middle = from + (products.length * bar) / 2;
      parts.push(`<text x="${middle}" y="${y + high + 14}" text-anchor="middle">${link}</text>`);
    }
  }
  for (const [turn, product] of products.entries()) {
    const x = left + turn * 90;
    const y = top + high + 26;
    parts.push(
      `<rect x="${x}" y="${y}" width="10" height="10" fill="${colours[product]}"/>`,
      `<text x="${x + 14}" y="${y + 9}">${product}</text>`,
    );
  }
  const [width, height] = [wide * panels.length, top + high + 44];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11" fill="#1f2328">
<style>.title{font-size:12px;font-weight:bold}.value{font-size:8px;text-anchor:middle}</style>
<rect width="${width}" height="${height}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
