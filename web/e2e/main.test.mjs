// The main job in a real browser, in both languages: set up, create, connect, work, leave, delete.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { en } from '../src/text/en.ts';
import { zh } from '../src/text/zh.ts';
import { exact } from './desktop.mjs';
import { System, browser, canvasPicture, eventually, password } from './system.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong on the page, as text. */
async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document));
  return found.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`,
  );
}

/** Text on the canvas, read as a person would, from a picture. */
async function readCanvas(page, folder) {
  const { width, height, rgb } = await canvasPicture(page);
  const file = join(folder, 'canvas.ppm');
  // Thrice as large, since letters on a screen are small for print.
  const scale = 3;
  const [w, h] = [Math.min(width, 900), Math.min(height, 600)];
  const out = Buffer.alloc(w * scale * h * scale * 3);
  for (let y = 0; y < h * scale; y++)
    for (let x = 0; x < w * scale; x++) {
      const from = (Math.floor(y / scale) * width + Math.floor(x / scale)) * 3;
      rgb.copy(out, (y * w * scale + x) * 3, from, from + 3);
    }
  writeFileSync(file, Buffer.concat([Buffer.from(`P6 ${w * scale} ${h * scale} 255\n`), out]));
  return execFileSync('tesseract', [file, '-', '--psm', '6'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** All files below a folder that a leak could be in. */
function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    let about;
    try {
      about = statSync(path);
    } catch {
      continue;
    }
    if (about.isDirectory()) {
      if (name !== 'homes' && name !== 'keys') yield* files(path);
    } else if (about.isFile() && about.size < 1 << 24) yield path;
  }
}

for (const [language, words] of Object.entries({ en, zh })) {
  describe(`in ${language}`, () => {
    let system, chrome, context, portal, viewer;
    const urls = [];
    const secrets = new Set();
    const cookies = [];
    const complaints = [];

    function watch(page) {
      page.on('request', (request) => {
        urls.push(request.url(), request.headers().referer ?? '');
        const field = /(?:^|&)ticket=([^&]+)/.exec(request.postData() ?? '');
        if (field) secrets.add(decodeURIComponent(field[1]));
      });
      page.on('response', async (response) => {
        for (const { name, value } of await response.headersArray().catch(() => [])) {
          if (name.toLowerCase() === 'set-cookie') cookies.push(...value.split('\n'));
        }
      });
      page.on('console', (message) => {
        if (message.type() === 'error')
          complaints.push(`${message.text()} ${message.location().url}`);
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
    }

    const button = (page, name) => page.getByRole('button', { name, exact: true });
    const link = (page, name) => page.getByRole('link', { name, exact: true });

    before(async () => {
      system = await System.start();
      ({ chrome, context } = await browser({ language }));
      context.on('page', watch);
      portal = await context.newPage();
    });
    after(async () => {
      await chrome?.close();
      await system?.end();
    });

    test('the first visit makes the administrator', async () => {
      await portal.goto(system.setup_link);
      await portal.getByRole('heading', { name: words.setup.title }).waitFor();
      assert.deepEqual(await violations(portal), []);
      assert.ok(!portal.url().includes('#'), 'the token does not stay in the address bar');
      await portal.getByLabel(words.userName, { exact: true }).fill('ada');
      await portal.getByLabel(words.password, { exact: true }).fill(password);
      await portal.getByLabel(words.setup.repeat, { exact: true }).fill(password);
      await button(portal, words.setup.submit).click();
      await portal.getByRole('heading', { name: words.desktops.title }).waitFor();
      assert.deepEqual(await violations(portal), []);
    });

    test('a wrong password is told, the right one lets in, by keyboard alone', async () => {
      await button(portal, words.nav.logOut).click();
      const name = portal.getByLabel(words.userName, { exact: true });
      await name.waitFor();
      assert.deepEqual(await violations(portal), []);
      await name.fill('ada');
      await portal.getByLabel(words.password, { exact: true }).fill('not the password');
      await portal.keyboard.press('Enter');
      await portal.getByText(words.errors.codes.wrong_login).waitFor();
      assert.deepEqual(await violations(portal), []);
      await name.focus();
      await portal.keyboard.press('Control+A');
      await portal.keyboard.type('ada');
      await portal.keyboard.press('Tab');
      await portal.keyboard.press('Control+A');
      await portal.keyboard.type(password);
      await portal.keyboard.press('Enter');
      await portal.getByRole('heading', { name: words.desktops.title }).waitFor();
    });

    test('every page is found clean by axe, light and dark', async () => {
      for (const path of [
        '/',
        '/new',
        '/account',
        '/users',
        '/images',
        '/sizes',
        '/hosts',
        '/stations',
        '/reservations',
        '/placement',
        '/recordings',
        '/all',
        '/nowhere',
      ]) {
        await portal.goto(system.portal + path);
        await portal.getByRole('heading', { level: 1 }).waitFor();
        for (const colorScheme of ['light', 'dark']) {
          await portal.emulateMedia({ colorScheme });
          assert.deepEqual(await violations(portal), [], `${path} ${colorScheme}`);
        }
        await portal.emulateMedia({ colorScheme: 'light' });
      }
    });

    test('a new desktop is made and becomes ready without a reload', async () => {
      await portal.goto(system.portal);
      await link(portal, words.desktops.create).first().click();
      await portal.getByLabel(words.create.name, { exact: true }).fill('Sample 42');
      await portal.getByRole('radio').first().check();
      await button(portal, words.create.submit).click();
      const card = portal.getByTestId('desktop');
      await card.waitFor();
      await portal.waitForSelector('[data-testid="desktop"][data-phase="ready"]');
      assert.deepEqual(await violations(portal), []);
    });

    test('Connect opens the desktop in a tab, and the picture is exact', async () => {
      const opened = context.waitForEvent('page');
      await portal.getByRole('button', { name: words.desktops.connect }).click();
      viewer = await opened;
      await viewer.waitForURL(/\/d\/[0-9a-f-]{36}/);
      await exact(viewer);
      assert.equal(await viewer.getByTestId('exact-badge').getAttribute('data-state'), 'exact');
      assert.deepEqual(await violations(viewer), []);
      const canvas = await viewer.evaluate(() => {
        const box = document.querySelector('#picture').getBoundingClientRect();
        const { width, height } = document.querySelector('#picture');
        return [box.width * devicePixelRatio - width, box.height * devicePixelRatio - height];
      });
      assert.ok(
        canvas.every((gap) => Math.abs(gap) < 0.5),
        `one pixel is one pixel: ${canvas}`,
      );
    });

    test('what is typed in a terminal is seen in the picture', async () => {
      const display = system.display();
      // The session's own terminal, at a known place; the keys come from the browser.
      system.spawnIn(display, 'xterm', [
        '-fa',
        'DejaVu Sans Mono',
        '-fs',
        '14',
        '-geometry',
        '60x12+40+40',
        '-bg',
        'white',
        '-fg',
        'black',
      ]);
      await eventually(
        'the terminal is there',
        async () =>
          execFileSync('xdotool', ['search', '--onlyvisible', '--class', 'xterm'], {
            env: { ...process.env, ...display },
            stdio: ['ignore', 'pipe', 'ignore'],
          }).length > 0,
      );
      await exact(viewer);
      const box = await viewer.locator('#picture').boundingBox();
      await viewer.mouse.click(box.x + 300, box.y + 150);
      await viewer.keyboard.type('echo beam line 42', { delay: 20 });
      await viewer.keyboard.press('Enter');
      await eventually('the text can be read off the canvas', async () => {
        await exact(viewer);
        const text = await readCanvas(viewer, system.data);
        const times = text.match(/beam\s*line\s*42/gi)?.length ?? 0;
        if (times < 2) throw new Error(`read: ${text}`);
        return true;
      });
    });

    test('a window can be moved with the pointer', async () => {
      const before = await viewer.evaluate(() => window.beamdesk.frames);
      const box = await viewer.locator('#picture').boundingBox();
      await viewer.mouse.move(box.x + 200, box.y + 50);
      await viewer.mouse.down();
      await viewer.mouse.move(box.x + 400, box.y + 200, { steps: 10 });
      await viewer.mouse.up();
      await eventually(
        'frames come',
        async () => (await viewer.evaluate(() => window.beamdesk.frames)) > before,
      );
      await exact(viewer);
    });

    test('the desktop takes the size of the window', async () => {
      await viewer.setViewportSize({ width: 1500, height: 900 });
      await eventually('the picture has the new size', async () => {
        const { width, height } = await viewer.evaluate(() => {
          const stage = document.querySelector('#picture');
          return { width: stage.width, height: stage.height };
        });
        return width === 1500 && height > 800;
      });
      await exact(viewer);
    });

    test('a reload resumes the same desktop', async () => {
      await viewer.reload();
      await exact(viewer);
      assert.match(await readCanvas(viewer, system.data), /beam\s*line\s*42/i);
    });

    test('sec_browser::storage_empty, sec_leak::corpus_scan: no secret in storage, URLs, logs or files', async () => {
      const all = await context.cookies();
      for (const cookie of all) {
        if (cookie.name.startsWith('beamdesk-')) continue; // language and appearance
        assert.ok(cookie.httpOnly && cookie.secure, `${cookie.name}: HttpOnly and Secure`);
        assert.match(cookie.name, /^__(Host|Secure)-/);
        secrets.add(cookie.value);
      }
      for (const line of cookies) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (!name.startsWith('beamdesk-') && value) secrets.add(value);
      }
      secrets.add(password);
      assert.ok(secrets.size > 3, 'the run issued secrets');
      for (const page of [portal, viewer]) {
        const stored = await page.evaluate(async () =>
          JSON.stringify([
            { ...localStorage },
            { ...sessionStorage },
            document.cookie,
            window.name,
            await indexedDB.databases(),
          ]),
        );
        for (const secret of secrets) assert.ok(!stored.includes(secret), 'a secret is stored');
      }
      const spellings = [...secrets].flatMap((secret) => [
        secret,
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64').replace(/=+$/, ''),
        Buffer.from(secret).toString('hex'),
      ]);
      for (const spelling of spellings) {
        assert.ok(!urls.some((url) => url.includes(spelling)), 'a secret is in a URL or Referer');
        assert.ok(!system.log.includes(spelling), 'a secret is in the log');
      }
      for (const file of files(system.data)) {
        const bytes = readFileSync(file);
        for (const spelling of spellings)
          assert.ok(!bytes.includes(spelling), `a secret is in ${file}`);
      }
    });

    test('logging out ends the stream within five seconds', async () => {
      await button(portal, words.nav.logOut).click();
      const began = Date.now();
      await viewer.getByText(words.viewer.reasons.logged_out).waitFor({ timeout: 6000 });
      assert.ok(Date.now() - began <= 5000, `${Date.now() - began} ms`);
      assert.deepEqual(await violations(viewer), []);
      await viewer.reload();
      // The handle is dead too.
      await viewer.getByText(words.viewer.reasons.refused).waitFor();
    });

    test('the desktop is deleted', async () => {
      await portal.getByLabel(words.userName, { exact: true }).fill('ada');
      await portal.getByLabel(words.password, { exact: true }).fill(password);
      await portal.keyboard.press('Enter');
      await portal.getByTestId('desktop').waitFor();
      await portal
        .getByTestId('desktop')
        .getByRole('button', { name: words.desktops.remove })
        .click();
      const dialog = portal.getByRole('dialog');
      await dialog.waitFor();
      assert.deepEqual(await violations(portal), []);
      await dialog.getByRole('button', { name: words.desktops.remove }).click();
      await portal.getByText(words.desktops.emptyTitle).waitFor();
      assert.equal(system.processes('Xvfb').length, 0);
    });

    test('no page complained', () => {
      // Refused requests are part of the tests above; policies and scripts must never be broken.
      const serious = complaints.filter((text) => !/status of 40[13]/.test(text));
      assert.deepEqual(serious, []);
    });
  });
}
