// What goes wrong under a viewer: told plainly, nothing else disturbed, and over as soon as it can be.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { en } from '../src/text/en.ts';
import { connect, exact, loggedIn, ready } from './desktop.mjs';
import { System, browser, eventually } from './system.mjs';

let system, chrome, context, api, page, id;

before(async () => {
  system = await System.start();
  ({ chrome, context } = await browser());
  ({ api, page } = await loggedIn(system, context));
  ({ id } = await api.create());
  await ready(api, id);
  await connect(page, id);
});
after(async () => {
  await chrome?.close();
  await system?.end();
});

/** Runs in a page: whether a WebSocket to this address opens. */
function opens(url) {
  return new Promise((done) => {
    const socket = new WebSocket(url);
    socket.onopen = () => {
      socket.close();
      done(true);
    };
    socket.onerror = () => done(false);
  });
}

test('sec_ws::cswsh: a page of another origin gets no stream, cookies and all', async () => {
  const stream = `${system.gateway.replace('http', 'ws')}/d/${id}/stream`;
  const foreign = createServer((_, response) =>
    response.setHeader('Content-Type', 'text/html').end('<p>foreign</p>'),
  );
  await new Promise((done) => foreign.listen(0, '127.0.0.1', done));
  try {
    // From here on the gateway waits for this browser's socket: only the Origin is wrong.
    const attached = await page.evaluate(
      async (path) =>
        (await fetch(path, { method: 'POST', headers: { 'X-Beamdesk': '1' } })).status,
      `/d/${id}/attach`,
    );
    assert.equal(attached, 200);
    const evil = await context.newPage();
    // The same host, so that the browser sends the cookies along.
    await evil.goto(`http://localhost:${foreign.address().port}/`);
    assert.equal(await evil.evaluate(opens, stream), false);
    await evil.close();
    assert.equal(await page.evaluate(opens, stream), true, 'the own page may');
    await exact(page);
  } finally {
    foreign.close();
  }
});

test('the whole server dies: the viewer says so, comes back by itself, and programs still run', async () => {
  const [agent] = system.processes('Xvfb');
  await system.down('SIGKILL');
  await page.waitForFunction(() => window.beamdesk.state === 'offline');
  await system.up();
  await exact(page, 30_000);
  assert.deepEqual(system.processes('Xvfb'), [agent], 'the same X server');
});

test('the desktop dies under the viewer: it is told, and the desktop comes back', async () => {
  const { generation } = await api.desktop(id);
  process.kill(system.processes('Xvfb')[0], 'SIGKILL');
  await page
    .getByText(en.viewer.reasons.desktop_gone)
    .or(page.getByText(en.viewer.reasons.agent_lost))
    .first()
    .waitFor();
  await eventually('a new server for the same desktop', async () => {
    const desktop = await api.desktop(id);
    return desktop.phase === 'ready' && desktop.generation > generation;
  });
  await page.goto(`${system.portal}/`);
  await connect(page, id);
});

test('deleting a desktop ends its viewer within five seconds and says why', async () => {
  await api.ask('DELETE', `/api/v1/desktops/${id}`);
  const said = page
    .getByText(en.viewer.reasons.desktop_gone)
    .or(page.getByText(en.viewer.reasons.refused));
  await said.first().waitFor({ timeout: 5000 });
});
