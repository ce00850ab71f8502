// A person at a browser, for `cargo xtask test --production`: reads what to do from standard input, one JSON
// object a line, and answers each with one.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { en } from '../src/text/en.ts';
import { connectHere, exact } from './desktop.mjs';
import { eventually, password } from './system.mjs';

const portalUrl = 'https://portal.desks.example.org';
const balancer = '198.51.100.5';
/** Two busy cores carry the whole of it. */
const patience = 60_000;

const chrome = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    `--host-resolver-rules=MAP *.desks.example.org ${balancer}`,
  ],
});
const context = await chrome.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB' });
context.setDefaultTimeout(patience);
const portal = await context.newPage();
let viewer;

const button = (name) => portal.getByRole('button', { name, exact: true });

/** Runs in the page. */
async function call([method, path, body]) {
  const answer = await fetch(path, {
    method,
    headers: {
      'X-Beamdesk': '1',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}

const ask = (method, path, body) => portal.evaluate(call, [method, path, body]);

async function logIn() {
  await portal.goto(`${portalUrl}/login`);
  await portal.getByLabel(en.userName, { exact: true }).fill('ada');
  await portal.getByLabel(en.password, { exact: true }).fill(password);
  await portal.keyboard.press('Enter');
  await portal.getByRole('heading', { name: en.desktops.title }).waitFor();
}

const acts = {
  async setup({ link }) {
    await portal.goto(link);
    await portal.getByLabel(en.userName, { exact: true }).fill('ada');
    await portal.getByLabel(en.password, { exact: true }).fill(password);
    await portal.getByLabel(en.setup.repeat, { exact: true }).fill(password);
    await button(en.setup.submit).click();
    await portal.getByRole('heading', { name: en.desktops.title }).waitFor();
  },

  async monitor() {
    return await ask('POST', '/api/v1/nodes/enrolments', { uses: 1 });
  },

  async create() {
    // The cloud's images are looked for each minute.
    const image = await eventually(
      'the cloud has an image',
      async () => {
        const { images } = await ask('GET', '/api/v1/images');
        return images[0];
      },
      2 * patience,
    );
    const body = { name: 'Sample 42', image: image.id, size: 'small' };
    return await ask('POST', '/api/v1/desktops', body);
  },

  async connect({ id }) {
    await eventually(
      'the desktop is ready',
      async () => {
        const desktop = await ask('GET', `/api/v1/desktops/${id}`);
        if (desktop.phase === 'failed') throw new Error(JSON.stringify(desktop));
        return desktop.phase === 'ready';
      },
      2 * patience,
    );
    viewer = await context.newPage();
    await viewer.goto(portalUrl);
    await Promise.all([viewer.waitForURL(/\/d\//), viewer.evaluate(connectHere, id)]);
    await exact(viewer, patience);
    await viewer.evaluate(() => (window.sameViewer = true));
    return { exact: true, url: viewer.url() };
  },

  /** The same page as before shows the desktop still, and follows what happens on it. */
  async still() {
    const box = await viewer.locator('#picture').boundingBox();
    await eventually(
      'the picture follows the pointer again',
      async () => {
        const before = await viewer.evaluate(() => window.beamdesk.frames);
        // Opens and closes the menu of the desktop.
        await viewer.mouse.click(box.x + 400, box.y + 300, { button: 'right' });
        await viewer.keyboard.press('Escape');
        return (await viewer.evaluate(() => window.beamdesk.frames)) > before;
      },
      patience,
    );
    await exact(viewer, patience);
    if (!(await viewer.evaluate(() => window.sameViewer)))
      throw new Error('the page was loaded anew');
  },

  /** After a restore nobody's session lives. */
  async again() {
    await portal.goto(portalUrl);
    const answer = await eventually('a portal answers', async () => {
      const status = await portal.evaluate(async () => {
        const answer = await fetch('/api/v1/desktops', { headers: { 'X-Beamdesk': '1' } });
        return answer.status;
      });
      return status < 500 && { status };
    });
    if (answer.status !== 401) throw new Error(`a session of before the restore: ${answer.status}`);
    await logIn();
    const { desktops } = await ask('GET', '/api/v1/desktops');
    if (desktops.length > 0) throw new Error('the backup was made before the desktop');
  },

  /** The server of a desktop that the restored database does not know is adopted, and shows what it showed. */
  async unclaimed({ id }) {
    await portal.goto(`${portalUrl}/cloud`);
    const row = portal.getByTestId('unclaimed').getByRole('row').filter({ hasText: id });
    await row.getByRole('button', { name: new RegExp(`^${en.cloud.adopt}`) }).click();
    await portal.getByRole('dialog').locator('button[type="submit"]').click();
    await row.waitFor({ state: 'detached' });
    await viewer?.close();
    return await acts.connect({ id });
  },

  async remove({ id }) {
    await ask('DELETE', `/api/v1/desktops/${id}`);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: what, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = (await acts[what](rest)) ?? {};
  } catch (error) {
    answer = { error: `${what}: ${error.stack ?? error}` };
  }
  console.log(JSON.stringify(answer));
}
await chrome.close();
