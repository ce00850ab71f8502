// Recordings: the policy, the sign, the file, and a player that shows exactly what was there.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { en } from '../src/text/en.ts';
import { Api } from './api.mjs';
import { connect, exact, loggedIn, ready } from './desktop.mjs';
import { System, binaries, browser, eventually, password } from './system.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const t = en.recordings;
const rest_ms = 600;
const step_ms = 150;
let system, chrome, context, api, portal, viewer, desktop, display;
/** Root of the picture while it was recorded, at its rests. */
const roots = [];
const urls = [];

async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document));
  return found.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`,
  );
}

const folder = () => join(system.data, 'recordings');
const files = () => readdirSync(folder());
const sign = (page) => page.getByTestId('recording-sign');
const rows = (page) => page.getByTestId('recording');
const audit = async () =>
  (await api.ask('GET', '/api/v1/audit')).events.map(({ action }) => action).reverse();

/** Changes the screen at random from a seed, and leaves it so. */
async function scribble(seed, count) {
  const program = spawn(join(binaries, 'examples/scribble'), [String(count), String(seed)], {
    env: { ...process.env, ...display },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(program.stdout, 'data');
  // What was shown before may still be exact: the picture that counts is another, and rests.
  const root = await eventually('the picture rests', async () => {
    const now = () => {
      const { exact, root } = window.beamdesk;
      return exact ? root : null;
    };
    const first = await viewer.evaluate(now);
    await new Promise((wake) => setTimeout(wake, rest_ms));
    const again = await viewer.evaluate(now);
    return first === again && !roots.includes(again) && again;
  });
  roots.push(root);
  program.stdin.end();
  await once(program, 'exit');
  await exact(viewer);
}

/** Plays a recording in a tab of its own. */
async function play(row = rows(portal).first()) {
  const opened = context.waitForEvent('page');
  await row.getByRole('button', { name: t.play, exact: true }).click();
  const player = await opened;
  await player.waitForURL(/\/r\/[0-9a-f-]{36}$/);
  await player.waitForFunction(() => window.beamplayer?.durationMs > 0, undefined, {
    timeout: 30_000,
  });
  return player;
}

async function seek(player, ms) {
  // The slider learns the length with the page's next picture.
  await player.waitForFunction(
    (to) => document.querySelector('#position').max >= to,
    Math.floor(ms),
  );
  await player.evaluate((to) => {
    const slider = document.querySelector('#position');
    slider.value = String(to);
    slider.dispatchEvent(new Event('input', { bubbles: true }));
  }, ms);
  await player.waitForFunction(
    (to) => !window.beamplayer.isSeeking && Math.abs(window.beamplayer.positionMs - to) < 2,
    Math.round(ms),
    { timeout: 60_000 },
  );
}

/** Each picture met on the way back to the beginning, and what the player says of it at rest. */
async function walkBack(player) {
  const met = new Map();
  const duration = await player.evaluate(() => window.beamplayer.durationMs);
  for (let ms = duration; ms >= 0; ms -= step_ms) {
    await seek(player, ms);
    const root = await player.evaluate(() => window.beamplayer.root);
    if (met.get(root) === 'exact') continue;
    if (roots.includes(root)) {
      const isExact = () => window.beamplayer.exact === 'exact';
      await player.waitForFunction(isExact, undefined, { timeout: 5000 }).catch(() => undefined);
    }
    met.set(root, await player.evaluate(() => window.beamplayer.exact));
  }
  return met;
}

before(async () => {
  system = await System.start();
  ({ chrome, context } = await browser({ viewport: { width: 1280, height: 800 } }));
  context.on('page', (page) => page.on('request', (request) => urls.push(request.url())));
  ({ api, page: portal } = await loggedIn(system, context));
  ({ id: desktop } = await api.create());
  await ready(api, desktop);
  viewer = await context.newPage();
  await viewer.goto(system.portal);
});
after(async () => {
  await chrome?.close();
  await system?.end();
});

test('nothing is recorded until an administrator allows it', async () => {
  await connect(viewer, desktop);
  display = system.display();
  assert.equal(await viewer.getByTestId('record').count(), 0);
  assert.equal(await sign(viewer).count(), 0);
  assert.deepEqual(files(), []);
  await portal.goto(`${system.portal}/recordings`);
  await portal.getByText(t.empty.off).waitFor();
  assert.deepEqual(await violations(portal), []);
  await portal.getByTestId('recording-policy').selectOption('allowed');
  await portal.getByText(t.policySaved).waitFor();
  assert.deepEqual(await violations(portal), []);
});

test('the user begins a recording, and sees so as long as it goes on', async () => {
  await viewer.reload();
  await exact(viewer);
  assert.equal(await sign(viewer).count(), 0);
  await viewer.getByTestId('record').click();
  await sign(viewer).waitFor();
  await exact(viewer);
  assert.deepEqual(await violations(viewer), []);
  for (const seed of [1, 2, 3]) {
    await scribble(seed, 60);
    assert.equal(await sign(viewer).count(), 1);
  }
  await viewer.getByTestId('record').click();
  await sign(viewer).waitFor({ state: 'detached' });
  await exact(viewer);
  await eventually('the file is whole', () => files().some((name) => name.endsWith('.rec')));
});

test('the list has it, with its length and size', async () => {
  await portal.reload();
  const row = rows(portal).first();
  await row.waitFor();
  assert.equal(await rows(portal).count(), 1);
  await eventually('it is complete', async () => {
    await portal.reload();
    await row.waitFor();
    return (await row.getAttribute('data-end')) === 'ended';
  });
  assert.match(await row.innerText(), /0:\d\d/);
  assert.deepEqual(await violations(portal), []);
});

test('the player shows every rest exactly as it was', async () => {
  const player = await play();
  assert.deepEqual(await violations(player), []);
  const { durationMs } = await player.evaluate(() => ({ ...window.beamplayer }));
  assert.ok(durationMs > 1000, `${durationMs} ms`);
  await seek(player, durationMs);
  const seen = await player.evaluate(() => ({
    right: window.beamplayer.right,
    wrong: window.beamplayer.wrong,
  }));
  assert.equal(seen.wrong, 0);
  assert.ok(seen.right >= roots.length, `${seen.right} checksums`);
  // At its own times each of the roots is met again, going back step by step; and is exact there.
  const met = await walkBack(player);
  for (const root of roots) assert.equal(met.get(root), 'exact', `${root} was on the screen`);
  // And playing on from the beginning comes to the same end.
  await seek(player, 0);
  await player.evaluate(() => document.activeElement?.blur());
  for (let i = 0; i < 4; i++) await player.keyboard.press('>');
  await player.keyboard.press(' ');
  await player.waitForFunction(() => window.beamplayer.isAtEnd, undefined, { timeout: 60_000 });
  assert.equal(await player.evaluate(() => window.beamplayer.wrong), 0);
  await player.getByText(en.player.ended).waitFor();
  assert.deepEqual(await violations(player), []);
  await player.close();
});

test('a file changed by one pixel is found out', async () => {
  const player = await play();
  await player.close();
  const { readFileSync: read, writeFileSync: write } = await import('node:fs');
  const [name] = files();
  const path = join(folder(), name);
  const good = read(path);
  // A root that an exact message claims: one digit of it.
  const at = good.lastIndexOf('"root":"') + 8;
  assert.ok(at > 8);
  const bad = Buffer.from(good);
  bad[at] = bad[at] === 0x61 ? 0x62 : 0x61;
  write(path, bad);
  const again = await play();
  const { durationMs } = await again.evaluate(() => ({ ...window.beamplayer }));
  await seek(again, durationMs);
  assert.equal(await again.evaluate(() => window.beamplayer.wrong), 1);
  await again.getByText(en.player.wrong(1)).waitFor();
  await again.close();
  write(path, good);
});

test('the file can be had, and is what the gateway holds', async () => {
  const [download] = await Promise.all([
    portal.waitForEvent('download'),
    rows(portal).first().getByRole('button', { name: t.download, exact: true }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^beamdesk-\d{8}-\d{6}Z\.beamrec$/);
  const [name] = files();
  assert.ok(readFileSync(await download.path()).equals(readFileSync(join(folder(), name))));
});

test('somebody else gets nothing of it, and no secret is in an address', async () => {
  await api.ask('POST', '/api/v1/users', { name: 'eve', password, role: 'operator' });
  const eve = new Api(system.portal);
  await eve.logIn('eve');
  const [one] = (await api.ask('GET', '/api/v1/recordings')).recordings;
  assert.deepEqual((await eve.ask('GET', '/api/v1/recordings')).recordings, []);
  assert.equal((await eve.call('GET', '/api/v1/recordings?all=true')).status, 403);
  const path = `/api/v1/recordings/${one.id}`;
  assert.equal((await eve.call('POST', `${path}/tickets`, { use: 'play' })).status, 404);
  assert.equal((await eve.call('DELETE', path)).status, 404);
  const bare = await fetch(`${system.gateway}/r/${one.id}/file`);
  assert.equal(bare.status, 403);
  for (const cookie of (await context.cookies()).filter(({ httpOnly }) => httpOnly)) {
    assert.ok(!urls.some((url) => url.includes(cookie.value)), cookie.name);
    assert.ok(!system.log.includes(cookie.value), cookie.name);
  }
});

test('a gateway that dies in the middle leaves a recording that can be played', async () => {
  await viewer.getByTestId('record').click();
  await sign(viewer).waitFor();
  await exact(viewer);
  await scribble(4, 60);
  const root = roots.at(-1);
  await system.down('SIGKILL');
  await system.up();
  await eventually('the portal hears of it', async () => {
    const { recordings } = await api.ask('GET', '/api/v1/recordings');
    // The viewer comes back by itself, and is recorded again.
    return recordings.some(({ end }) => end === 'interrupted');
  });
  await portal.goto(`${system.portal}/recordings`);
  const row = portal.locator('[data-testid="recording"][data-end="interrupted"]');
  await row.waitFor();
  const player = await play(row);
  assert.equal((await walkBack(player)).get(root), 'exact');
  assert.equal(await player.evaluate(() => window.beamplayer.wrong), 0);
  await player.close();
});

test('by the policy each stream is recorded from the first picture on', async () => {
  await portal.getByTestId('recording-policy').selectOption('always');
  await portal.getByText(t.policySaved).waitFor();
  await viewer.goto(system.portal);
  await connect(viewer, desktop);
  await sign(viewer).waitFor();
  assert.equal(await viewer.getByTestId('record').count(), 0, 'nobody may end it');
  const { recordings } = await api.ask('GET', '/api/v1/recordings');
  assert.equal(recordings[0].required, true);
  // Switched off, it ends within seconds; the desktop goes on.
  await portal.getByTestId('recording-policy').selectOption('off');
  await sign(viewer).waitFor({ state: 'detached', timeout: 10_000 });
  await viewer.getByText(en.viewer.recordingEnded).waitFor();
  await exact(viewer);
});

test('logging out ends a play, and a deleted recording is gone', async () => {
  await portal.reload();
  await rows(portal).first().waitFor();
  const count = await rows(portal).count();
  const player = await play();
  const path = new URL(player.url()).pathname;
  const status = () =>
    player.evaluate(
      async (file) => (await fetch(file, { headers: { Range: 'bytes=0-9' } })).status,
      `${path}/file`,
    );
  assert.equal(await status(), 206);
  await rows(portal).first().getByRole('button', { name: en.remove }).click();
  await portal.getByRole('dialog').getByRole('button', { name: en.remove }).click();
  await eventually('the row is gone', async () => (await rows(portal).count()) === count - 1);
  await eventually('the play has ended', async () => (await status()) === 403, 5000);
  const id = path.split('/').at(-1);
  await eventually('the file is gone', () => !files().some((name) => name.startsWith(id)));
  const other = await play();
  const otherFile = `${new URL(other.url()).pathname}/file`;
  const otherStatus = () =>
    other.evaluate(
      async (file) => (await fetch(file, { headers: { Range: 'bytes=0-9' } })).status,
      otherFile,
    );
  assert.equal(await otherStatus(), 206);
  const words = await audit();
  await portal.getByRole('button', { name: en.nav.logOut }).click();
  await eventually('that play has ended', async () => (await otherStatus()) === 403, 5000);
  for (const action of [
    'recording_policy_changed',
    'recording_started',
    'recording_ended',
    'recording_played',
    'recording_downloaded',
    'recording_removed',
  ]) {
    assert.ok(words.includes(action), action);
  }
});
