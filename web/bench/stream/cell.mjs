// One measurement: one content, one size, one line, one product.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, xPicture } from '../../e2e/system.mjs';
import { Chromium } from './chromium.mjs';
import { layEye } from './eye.mjs';
import {
  Line,
  Movie,
  busiest,
  lines,
  now,
  pause,
  sentFrom,
  spent,
  used,
  usedByThreads,
} from './tools.mjs';

const rate = 60;
const beside_rate = 30;
const mark_rate = 10;
const warm_s = 2;
/** How much longer the movie lasts than the small changes beside it, on a slow machine too. */
const beside_spare_s = 10;
const shots = 4;
/** One measurement takes half a minute or so; a slow machine may need much more. */
const deadline_ms = 180_000;
const exact_wait_ms = { loopback: 5000, '100m20': 8000, '20m80': 15_000, loss1: 8000, step: 0 };

/** Where contents stand on the desktop, and how large, at 1080p; at 2160p all is doubled. */
const windows = {
  terminal: { width: 1400, height: 900 },
  document: { width: 1400, height: 960 },
  view3d: { width: 1440, height: 900 },
  ct: { width: 1024, height: 960 },
  idle: { width: 1400, height: 960 },
};
const left = 60;
const top = 60;
const mark = { width: 26 * 16, height: 16, x: 60, y: 1040 };

export const sizes = {
  '1080p': { width: 1920, height: 1080, scale: 1 },
  '2160p': { width: 3840, height: 2160, scale: 2 },
};

/** The page's clock on the monotonic one: `monotonic = page + offset`, within `error` ms. */
async function clock(page) {
  let best = { error: Infinity };
  for (let round = 0; round < 40; round++) {
    const before = now();
    const { result } = await page.send('Runtime.evaluate', {
      expression: 'performance.now()',
      returnByValue: true,
    });
    const after = now();
    if (after - before < best.error * 2) {
      best = { offset: (before + after) / 2 - result.value, error: (after - before) / 2 };
    }
  }
  return best;
}

export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
}

/** Sightings with the time since they were drawn, within a stretch of time (all in ms of the monotonic clock). */
function sightings(seen, drawn, offset, [from, to]) {
  const found = [];
  let last = -1;
  let back = 0;
  for (const [number, page] of seen) {
    const at = page + offset;
    const draw = drawn.get(number);
    if (!draw || at < from || at > to || at < draw.began) continue;
    if (number < last) back++;
    else found.push({ number, at, ms: at - draw.began });
    last = Math.max(last, number);
  }
  return { found, back };
}

function latencies(found, prefix = '') {
  const ms = found.map((one) => one.ms);
  if (ms.length === 0) return {};
  return Object.fromEntries(
    [50, 90, 99].map((part) => [`${prefix}p${part}_ms`, quantile(ms, part / 100)]),
  );
}

const longestGap = (found) =>
  found.slice(1).reduce((most, one, index) => Math.max(most, one.at - found[index].at), 0);

/** Measures; gives one object of measures by name. */
export async function measure({ product, content, size, line: lineName, seconds, tools, beside }) {
  const { width, height, scale } = sizes[size];
  const shape = Object.fromEntries(
    Object.entries(windows[content]).map(([name, value]) => [name, value * scale]),
  );
  const place = { x: left * scale, y: top * scale, ...shape };
  const small = { ...mark, x: mark.x * scale, y: mark.y * scale };
  const folder = mkdtempSync(join(tmpdir(), 'beamdesk-bench-'));
  const movie = new Movie({ tools, content, ...place });
  const row = new Movie({ tools, content: 'mark', ...small });
  const line = lines[lineName] && (await Line.start(tools, product.port, lines[lineName]));
  const measures = {};
  let web;
  // A page that hangs ends with its browser, and all that waits for it.
  const deadline = setTimeout(
    () => {
      web?.close();
      movie.stop();
      row.stop();
    },
    deadline_ms + 4 * 1000 * seconds,
  );
  try {
    web = await Chromium.start({ width, height }, line);
    // First, for a desktop may take its size from the page.
    const page = await product.open(web);
    await movie.start(product.display);
    await row.start(product.display);
    const shows = { width, height, ...movie.counter };
    await eventually('the page shows the desktop', async () => {
      // Again, for a product's page may load another.
      await page.evaluate(layEye);
      return page.evaluate((what) => window.eye.find(what), shows);
    }).catch(async (error) => {
      throw new Error(`${error}; ${await page.evaluate(() => window.eye.shapes().join(', '))}`);
    });
    // Moves, so that what shows it can be told from what only did.
    await movie.go(rate, rate / 2);
    await pause(500);
    await page.evaluate((what) => window.eye.choose(what), shows);
    await page.evaluate((rows) => window.eye.watch(rows), [movie.counter, row.counter]);
    let { offset, error } = await clock(page);
    measures.clock_error_ms = error;

    const look = () => ({
      at: now(),
      parts: Object.fromEntries(
        Object.entries({ ...product.pids(), browser: web.pids() }).map(([name, pids]) => [
          name,
          used(pids),
        ]),
      ),
      sent: sentFrom(product.port),
      threads: usedByThreads([...product.pids().all, ...web.pids()]),
    });
    const costs = (before, after) => {
      const span = (after.at - before.at) / 1000;
      const cores = (name) =>
        after.parts[name] && spent(before.parts[name], after.parts[name]) / span;
      return {
        bytes_per_s: spent(before.sent, after.sent) / span,
        server_cpu: cores('all'),
        agent_cpu: cores('agent'),
        gateway_cpu: cores('gateway'),
        x_cpu: cores('x'),
        browser_cpu: cores('browser'),
      };
    };
    const stretch = async (work) => {
      await page.evaluate(() => window.eye.take());
      const before = look();
      await work();
      const after = look();
      const [ofMovie, ofRow] = await page.evaluate(() => window.eye.take());
      return { before, after, ofMovie, ofRow, span: [before.at, after.at] };
    };

    if (line && (await line.ask()).bytes === 0) throw new Error('nothing goes over the line');

    if (lines[lineName]?.then) {
      Object.assign(measures, await stepDown({ movie, line, offset, seconds, stretch }));
      return measures;
    }

    if (content === 'idle') {
      const still = await stretch(() => pause(seconds * 1000));
      Object.assign(measures, costs(still.before, still.after));
      const calm = await stretch(() => row.go(mark_rate, mark_rate * seconds));
      const { found } = sightings(calm.ofRow.seen, row.drawn, offset, calm.span);
      Object.assign(measures, latencies(found), { seen: found.length / (mark_rate * seconds) });
      return measures;
    }

    const frames = rate * (warm_s + seconds + 3 + (product.stages ? 3 : 0));
    const ends = movie.frames + frames;
    const last = movie.frame(ends, join(folder, 'last'));
    const piece = 3 << 20;
    for (let from = 0; from < last.length; from += piece) {
      const base64 = last.subarray(from, from + piece).toString('base64');
      await page.evaluate((what) => window.eye.expect(what), { ...shape, from, base64 });
    }
    const moving = movie.go(rate, frames);
    moving.catch(() => {}); // Awaited below.
    await pause(warm_s * 1000);
    const run = await stretch(() => pause(seconds * 1000));
    const { found, back } = sightings(run.ofMovie.seen, movie.drawn, offset, run.span);
    Object.assign(
      measures,
      { fps: found.length / seconds },
      latencies(found),
      { freeze_ms: longestGap(found), back, unreadable: run.ofMovie.unreadable },
      costs(run.before, run.after),
    );
    measures.threads = busiest(
      run.before.threads,
      run.after.threads,
      (run.after.at - run.before.at) / 1000,
    );
    const drawn = [...movie.drawn.values()].filter(
      ({ began }) => began >= run.span[0] && began <= run.span[1],
    );
    measures.drawn_fps = drawn.length / seconds;

    if (product.stages) measures.stages = await product.stages(page).catch(console.error);

    for (let shot = 0; shot < shots; shot++) {
      await page.evaluate((what) => window.eye.snapshot(what), { ...place, ...movie.row });
      await pause(150);
    }
    // Asked before the last frame is drawn, so that the page watches from the start.
    const resting = page.evaluate((what) => window.eye.exact(what), place);
    await moving;
    await page.evaluate((ms) => window.eye.giveUpAfter(ms), exact_wait_ms[lineName]);
    const sent = sentFrom(product.port);
    const exactAt = await resting;
    const sentSince = spent(sent, sentFrom(product.port));
    const { began } = movie.drawn.get(ends & 0xffff);
    measures.exact_ms = exactAt < 0 ? -1 : Math.max(0, exactAt + offset - began);
    if (exactAt >= 0) {
      measures.exact_bytes = sentSince;
      const bits_per_ms = lines[lineName] && lines[lineName].rate * 1000;
      if (bits_per_ms) measures.exact_bound_ms = (1.2 * sentSince * 8) / bits_per_ms + 100;
    }
    rightReference(xPicture(product.display), last, place);

    const pictures = [];
    for (let shot = 0; shot < shots; shot++) {
      const { number, base64 } = await page.evaluate(() => window.eye.developed());
      if (number < 0) continue;
      const path = join(folder, `shot-${shot}`);
      writeFileSync(path, Buffer.from(base64, 'base64'));
      pictures.push({ number, path });
    }
    const verdicts = movie.judge(pictures);
    if (verdicts.length > 0) {
      const of = (name) =>
        quantile(
          verdicts.map((one) => one[name] ?? 99),
          0.5,
        );
      Object.assign(measures, { psnr: of('psnr'), ssim: of('ssim'), exact_share: of('exact') });
      measures.lag = verdicts.reduce((sum, { lag }) => sum + lag, 0) / verdicts.length;
    }

    if (beside) {
      // Ends with its program.
      movie.go(beside_rate, beside_rate * (seconds + beside_spare_s)).catch(() => {});
      await pause(1000);
      ({ offset } = await clock(page));
      const calm = await stretch(() => row.go(mark_rate, mark_rate * seconds));
      const small = sightings(calm.ofRow.seen, row.drawn, offset, calm.span).found;
      Object.assign(measures, latencies(small, 'small_'), {
        small_seen: small.length / (mark_rate * seconds),
      });
    }
    return measures;
  } finally {
    clearTimeout(deadline);
    movie.stop();
    row.stop();
    await web?.close();
    line?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The line gets slower while the movie runs: how long bytes wait for their turn on it, and when frames come. */
async function stepDown({ movie, line, offset, seconds, stretch }) {
  const moving = movie.go(rate, rate * (warm_s + seconds + 4));
  moving.catch(() => {}); // Awaited below.
  await pause((warm_s + seconds / 2) * 1000);
  const waits = [];
  const run = await stretch(async () => {
    await line.ask(`rate ${lines.step.then}`);
    const began = now();
    while (now() - began < 1000 * (2 + seconds / 2)) {
      await pause(20);
      waits.push({ ms: now() - began, wait: (await line.ask()).wait });
    }
  });
  const { found } = sightings(run.ofMovie.seen, movie.drawn, offset, run.span);
  const over = waits.filter(({ wait }) => wait >= 100).at(-1);
  const settled = found.filter((one) => one.at > run.span[0] + 1000);
  await moving;
  return {
    queue_ms: Math.max(...waits.map(({ wait }) => wait)),
    queue_back_ms: over ? over.ms : 0,
    freeze_ms: longestGap([{ at: run.span[0] }, ...found, { at: run.span[1] }]),
    fps: settled.length / ((run.span[1] - run.span[0]) / 1000 - 1),
    ...latencies(settled),
  };
}

/** What counted as exact must be what the X server shows. */
function rightReference({ width, rgb }, last, place) {
  for (let y = 0; y < place.height; y++) {
    for (let x = 0; x < place.width; x++) {
      const shown = ((place.y + y) * width + place.x + x) * 3;
      const drawn = (y * place.width + x) * 4;
      for (let colour = 0; colour < 3; colour++) {
        if (rgb[shown + colour] !== last[drawn + colour]) {
          throw new Error(`the X server shows something else at ${x},${y}`);
        }
      }
    }
  }
}
