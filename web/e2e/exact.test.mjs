// What the canvas shows is, pixel for pixel, what the X server shows; and the badge says so only then.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, exact, loggedIn, ready } from './desktop.mjs';
import { System, binaries, browser, canvasPicture, eventually, xPicture } from './system.mjs';

const changes = 200;
/** Nothing changes for so long: the picture is at rest. */
const rest_ms = 700;
let system, chrome, page, display;
const programs = [];

before(async () => {
  system = await System.start();
  const opened = await browser({ viewport: { width: 1920, height: 1080 } });
  chrome = opened.chrome;
  const { api, page: portal } = await loggedIn(system, opened.context);
  page = portal;
  const { id } = await api.create();
  await ready(api, id);
  await connect(page, id);
  display = system.display();
});
after(async () => {
  for (const program of programs) program.kill();
  await chrome?.close();
  await system?.end();
});

const badge = () => page.getByTestId('exact-badge').getAttribute('data-state');

/** Changes the screen at random from a seed; the last picture stays until `end` is called. */
async function scribble(seed, count = changes) {
  const program = spawn(join(binaries, 'examples/scribble'), [String(count), String(seed)], {
    env: { ...process.env, ...display },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  programs.push(program);
  await once(program.stdout, 'data');
  return async () => {
    program.stdin.end();
    await once(program, 'exit');
  };
}

/** Pixels that differ between the X server and the canvas, once the X server has rested for a while. */
async function difference() {
  return await eventually('the X server rests', async () => {
    const before = xPicture(display);
    await new Promise((wake) => setTimeout(wake, rest_ms));
    await exact(page);
    const shown = await canvasPicture(page);
    const after = xPicture(display);
    if (!before.rgb.equals(after.rgb)) return undefined; // The panel's clock, say: look again.
    assert.deepEqual([shown.width, shown.height], [before.width, before.height]);
    let pixels = 0;
    for (let i = 0; i < before.rgb.length; i += 3) {
      if (before.rgb.compare(shown.rgb, i, i + 3, i, i + 3) !== 0) pixels++;
    }
    return { pixels, of: before.width * before.height };
  });
}

test(`after ${changes} random changes every pixel of the canvas is the X server's`, async () => {
  for (const seed of [1, 2, 3]) {
    const end = await scribble(seed);
    const { pixels, of } = await difference();
    assert.equal(pixels, 0, `seed ${seed}: ${pixels} of ${of} pixels differ`);
    assert.equal(await badge(), 'exact');
    await end();
  }
});

test('a pixel that the canvas holds wrong takes the badge away, and is drawn again', async () => {
  assert.equal((await difference()).pixels, 0); // At rest: a late repaint would cover the spoiled pixel.
  await page.evaluate(() => {
    window.badges = [];
    const element = document.querySelector('[data-testid="exact-badge"]');
    new MutationObserver(() => window.badges.push(element.dataset.state)).observe(element, {
      attributes: true,
    });
    const canvas = document.querySelector('#picture').getContext('2d');
    const { data } = canvas.getImageData(100, 100, 1, 1);
    canvas.fillStyle = `rgb(${data[0] ^ 1} ${data[1]} ${data[2]})`;
    canvas.fillRect(100, 100, 1, 1);
  });
  await page.waitForFunction(() => window.badges.includes('broken'), undefined, {
    timeout: 60_000,
  });
  await exact(page);
  assert.equal((await difference()).pixels, 0);
});

test('while a tile is drawn wrong for good, the badge never says exact', async () => {
  // A browser whose canvas corrupts one pixel at every draw.
  await page.evaluate(() => {
    const put = CanvasRenderingContext2D.prototype.putImageData;
    window.restore = () => (CanvasRenderingContext2D.prototype.putImageData = put);
    CanvasRenderingContext2D.prototype.putImageData = function (...args) {
      put.apply(this, args);
      this.fillStyle = 'rgb(1 2 3)';
      this.fillRect(300, 300, 1, 1);
    };
  });
  const end = await scribble(7, 20);
  await page.waitForFunction(() => window.beamdesk.state === 'broken', undefined, {
    timeout: 20_000,
  });
  const seen = new Set();
  for (let look = 0; look < 40; look++) {
    seen.add(await badge());
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  assert.ok(!seen.has('exact'), [...seen].join());
  await page.evaluate(() => window.restore());
  await end();
  await page.reload();
  await exact(page);
  assert.equal((await difference()).pixels, 0);
});
