// 16-bit slices of a program on the desktop: every value in the browser, window and level as DICOM says.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { connect, loggedIn, ready } from './desktop.mjs';
import { System, browser } from './system.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Reads one command in Python a line, and answers each with what it gives.
const shell = `
import sys, json
from array import array
import beamdesk
def rows(value, columns=256, count=256):
    return [array("H", [value(y * columns + x) % 65536 for x in range(columns)]) for y in range(count)]
def keep(made):
    global picture
    picture = made
    return made.is_linked
for line in sys.stdin:
    try: print(json.dumps(eval(line, globals())), flush=True)
    except Exception as error: print(json.dumps({"error": repr(error)}), flush=True)
`;
let system, chrome, page, program, answers, folder;

before(async () => {
  system = await System.start();
  const opened = await browser({ viewport: { width: 1280, height: 860 } });
  chrome = opened.chrome;
  const { api, page: portal } = await loggedIn(system, opened.context);
  page = portal;
  const { id } = await api.create();
  await ready(api, id);
  await connect(page, id);
  program = startProgram();
  answers = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
});
after(async () => {
  program?.kill();
  await chrome?.close();
  await system?.end();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** A Python of the desktop's own user, with what a program of its session finds in its environment. */
function startProgram() {
  const pid = readdirSync('/proc').find((name) => {
    try {
      return system.owns(name) && readFileSync(`/proc/${name}/comm`, 'utf8') === 'openbox\n';
    } catch {
      return false;
    }
  });
  const told = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  const inside = told.find((line) => line.startsWith('BEAMDESK_SOCKET='))?.split('=')[1];
  assert.ok(inside, 'a program of the session finds the socket');
  const { uid, gid } = statSync(`/proc/${pid}`);
  folder = mkdtempSync(join(tmpdir(), 'beamdesk-python-'));
  cpSync(resolve(import.meta.dirname, '../../python/beamdesk'), join(folder, 'beamdesk'), {
    recursive: true,
  });
  spawn('chmod', ['-R', 'a+rX', folder]);
  return spawn('/usr/bin/python3', ['-c', shell], {
    uid,
    gid,
    cwd: '/',
    env: { PYTHONPATH: folder, BEAMDESK_SOCKET: `/proc/${pid}/root${inside}`, PATH: '/usr/bin' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

async function python(line) {
  program.stdin.write(`${line}\n`);
  const { value } = await answers.next();
  const answer = JSON.parse(value ?? '{"error":"it ended"}');
  assert.ok(!answer?.error, answer?.error);
  return answer;
}

/** Greys of the picture on the page, row by row. */
async function shown() {
  const { text, ...place } = await page.evaluate(() => {
    const canvas = document.querySelector('[data-testid=slice]');
    const { width, height } = canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
    let text = '';
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) throw new Error('not grey');
      text += String.fromCharCode(data[i]);
    }
    const box = canvas.getBoundingClientRect();
    const below = document.querySelector('#picture').getBoundingClientRect();
    return { width, height, text, x: box.x - below.x, y: box.y - below.y };
  });
  return { ...place, greys: Buffer.from(text, 'latin1') };
}

/** Says where two pictures of greys differ first: printing them whole takes long. */
function same(greys, wanted) {
  assert.equal(greys.length, wanted.length);
  const at = greys.findIndex((grey, at) => grey !== wanted[at]);
  assert.equal(at, -1, `pixel ${at} is ${greys[at]}, not ${wanted[at]}`);
}

const badge = (state) =>
  page.waitForFunction(
    (state) => document.querySelector('[data-testid=slice-badge]')?.dataset.state === state,
    state,
  );

/** DICOM PS3.3 C.11.2.1.2.1 in whole numbers, window and level being such. */
function grey(x, window, level) {
  const [centred, span] = [2 * (x - level) + 1, window - 1];
  if (centred <= -span) return 0;
  if (centred > span) return 255;
  return Math.floor((2 * 255 * (centred + span) + 2 * span) / (4 * span));
}

/** Each value of a 256 by 256 picture as 2 by 2 pixels. */
const expected = (value, window, level) =>
  Array.from({ length: 512 * 512 }, (_, at) => {
    const [x, y] = [at % 512, Math.floor(at / 512)];
    return grey(value((y >> 1) * 256 + (x >> 1)), window, level);
  });

async function setNumber(label, value) {
  const field = page.getByRole('spinbutton', { name: label, exact: true });
  await field.fill(String(value));
  await field.blur();
}

test('all 65,536 values arrive, and are shown as window and level make them', async () => {
  const line = 'keep(beamdesk.show(rows(lambda at: at), (200, 100, 512, 512), (65536, 32768)))';
  assert.equal(await python(line), true);
  assert.equal(await python('picture.wait_exact()'), true);
  await badge('exact');
  const picture = await shown();
  assert.deepEqual(
    [picture.width, picture.height, picture.x, picture.y],
    [512, 512, 200, 100],
    'over its place on the screen',
  );
  same(
    picture.greys,
    expected((at) => at, 65536, 32768),
  );
  // A ramp of 256 neighbouring values, which a screen of 256 greys would show as one: all distinct.
  await setNumber('Window', 256);
  await setNumber('Level', 20_128);
  await badge('exact');
  const narrow = (await shown()).greys;
  same(
    narrow,
    expected((at) => at, 256, 20_128),
  );
  assert.equal(new Set(narrow).size, 256);
});

test('the value under the pointer is the true one', async () => {
  const box = await page.locator('#picture').boundingBox();
  // Column 17, row 201 of the picture: 201 · 256 + 17.
  await page.mouse.move(box.x + 200 + 35, box.y + 100 + 403);
  await page.getByText('Column 17, row 201:').waitFor();
  assert.equal(await page.locator('.panel output').textContent(), '51473');
});

test('a drag with the right button sets window and level, and nothing of it reaches the desktop', async () => {
  await page.getByRole('button', { name: 'As the program' }).click();
  const box = await page.locator('#picture').boundingBox();
  await page.mouse.move(box.x + 400, box.y + 300);
  await page.mouse.down({ button: 'right' });
  await page.mouse.move(box.x + 400 - 128, box.y + 300 + 64, { steps: 7 });
  await page.mouse.up({ button: 'right' });
  const number = async (name) =>
    Number(await page.getByRole('spinbutton', { name, exact: true }).inputValue());
  // 512 pixels go through all of 0 to 65535.
  assert.equal(await number('Window'), Math.round(65536 - (128 * 65535) / 512));
  assert.equal(await number('Level'), Math.round(2 * (32768 - (64 * 65535) / 512)) / 2);
  const opened = await page.evaluate(() => window.beamdesk.state);
  assert.equal(opened, 'exact', 'no menu opened on the desktop');
});

test('paging keeps the contrast that was chosen; values and place are the new ones', async () => {
  await setNumber('Window', 1000);
  await setNumber('Level', 5000);
  assert.equal(await python('picture.update(rows(lambda at: at // 7 + 300))'), null);
  assert.equal(await python('picture.wait_exact()'), true);
  await badge('exact');
  same(
    (await shown()).greys,
    expected((at) => Math.floor(at / 7) + 300, 1000, 5000),
  );
  await python('picture.move(rect=(-100, 50, 512, 512))');
  await page.waitForFunction(
    () => document.querySelector('[data-testid=slice]')?.width === 412,
    undefined,
  );
  const cut = await shown();
  assert.deepEqual([cut.x, cut.y, cut.width, cut.height], [0, 50, 412, 512]);
});

test('signed values are shown as they are meant', async () => {
  await page.getByRole('button', { name: 'As the program' }).click();
  const hounsfield =
    'keep(beamdesk.show([array("h", [-1024, -500, 0, 40, 1000, 3071])], (0, 0, 6, 1), (400, 40)))';
  await python('picture.close()');
  await page.locator('[data-testid=slice]').waitFor({ state: 'detached' });
  assert.equal(await python(hounsfield), true);
  assert.equal(await python('picture.wait_exact()'), true);
  await badge('exact');
  same(
    (await shown()).greys,
    [-1024, -500, 0, 40, 1000, 3071].map((value) => grey(value, 400, 40)),
  );
  await page.getByText('Values from -1024 to 3071').waitFor();
});

test('greys that do not read back as painted are not called exact', async () => {
  await page.evaluate(() => {
    const put = CanvasRenderingContext2D.prototype.putImageData;
    window.restore = () => (CanvasRenderingContext2D.prototype.putImageData = put);
    CanvasRenderingContext2D.prototype.putImageData = function (...args) {
      put.apply(this, args);
      if (this.canvas.dataset.testid !== 'slice') return;
      this.fillStyle = 'rgb(1 1 1)';
      this.fillRect(2, 0, 1, 1);
    };
  });
  await setNumber('Level', 41);
  await badge('broken');
  await page.evaluate(() => window.restore());
  await setNumber('Level', 42);
  await badge('exact');
});

test('the controls have no barriers, and the screen below can be looked at', async () => {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(
    found.violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]),
    [],
  );
  await page.getByRole('button', { name: 'Show the screen' }).click();
  await page.locator('[data-testid=slice]').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Show the screen' }).click();
  await page.locator('[data-testid=slice]').waitFor();
});

test('a large slice becomes exact soon, and goes with its program', async () => {
  await python('exec("import random; noise = random.Random(1).randbytes(2048 * 2048 * 2)")');
  const began = performance.now();
  await python(
    'picture.update(memoryview(noise).cast("B").cast("H", (2048, 2048))) or picture.wait_exact()',
  );
  const took = performance.now() - began;
  console.log(`8 MiB of noise: exact at the viewer after ${took.toFixed(0)} ms`);
  assert.ok(took < 5000, `${took} ms`);
  program.stdin.end();
  await once(program, 'exit');
  await page.locator('[data-testid=slice]').waitFor({ state: 'detached' });
  assert.equal(await page.locator('[data-testid=slice-badge]').count(), 0);
});
