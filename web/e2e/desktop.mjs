// Getting a browser page into a desktop without the portal's pages, for tests and benchmarks of the stream.
import { Api } from './api.mjs';
import { eventually, password } from './system.mjs';

/** A logged-in page of the portal and the API with the same account. */
export async function loggedIn(system, context) {
  const api = new Api(system.portal);
  if (system.setup_link) await api.setUp(system);
  else await api.logIn();
  const page = await context.newPage();
  await page.goto(`${system.portal}/login`);
  await page.evaluate(logInHere, { name: 'ada', password });
  return { api, page };
}

/** Runs in the page. */
async function logInHere(body) {
  const answer = await fetch('/api/v1/session', {
    method: 'POST',
    headers: { 'X-Beamdesk': '1', 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`login: ${answer.status} ${await answer.text()}`);
}

/** Runs in the page: what the *Connect* button does, in the same tab. */
export async function connectHere(id) {
  const answer = await fetch(`/api/v1/desktops/${id}/tickets`, {
    method: 'POST',
    headers: { 'X-Beamdesk': '1' },
  });
  if (!answer.ok) throw new Error(`ticket: ${answer.status} ${await answer.text()}`);
  const { ticket, connect_url } = await answer.json();
  const form = document.createElement('form');
  form.method = 'post';
  form.action = connect_url;
  for (const [name, value] of Object.entries({ ticket, lang: 'en', theme: 'light' })) {
    const field = document.createElement('input');
    Object.assign(field, { type: 'hidden', name, value });
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}

export async function ready(api, id) {
  return await eventually(
    'the desktop is ready',
    async () => {
      const desktop = await api.desktop(id);
      if (desktop?.phase === 'failed') throw new Error(JSON.stringify(desktop.failure));
      return desktop?.phase === 'ready' && desktop;
    },
    30_000,
  );
}

/** Connects the page and waits until its picture is exact. */
export async function connect(page, id) {
  await Promise.all([page.waitForURL(/\/d\//), page.evaluate(connectHere, id)]);
  await exact(page);
}

export async function exact(page, ms = 15_000) {
  await page.waitForFunction(() => window.beamdesk?.exact === true, undefined, { timeout: ms });
}
