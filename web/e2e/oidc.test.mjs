// Logging in by OpenID Connect, in a real browser, with a certified provider: groups make roles and
// stations, logging out ends streams and the provider's session, and so does the provider.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Provider } from 'oidc-provider';
import { en } from '../src/text/en.ts';
import { zh } from '../src/text/zh.ts';
import { Api } from './api.mjs';
import { exact } from './desktop.mjs';
import { System, browser, eventually } from './system.mjs';

const secret = 'a client secret & more';
const label = { en: 'Log in with your example account', zh: '使用示例账户登录' };

describe('logging in by OpenID Connect', () => {
  let system, server, issuer, chrome, root;
  /** What the provider knows of people: name and groups by account. */
  const people = new Map();
  const urls = [];

  before(async () => {
    let answer = (_, response) => response.writeHead(503).end();
    server = createServer((request, response) => answer(request, response));
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    issuer = `http://127.0.0.1:${server.address().port}`;
    const folder = mkdtempSync(join(tmpdir(), 'beamdesk-oidc-'));
    writeFileSync(join(folder, 'secret'), `${secret}\n`, { mode: 0o600 });
    const file = join(folder, 'providers.toml');
    writeFileSync(
      file,
      `[oidc]
issuer = "${issuer}"
client_id = "beamdesk"
client_secret_file = "${join(folder, 'secret')}"
scopes = ["openid", "profile", "groups"]
button = { en = "${label.en}", zh = "${label.zh}" }
roles = { admins = "administrator", staff = "operator", users = "user" }
stations = { "bl-b7" = "b7" }
local_login = "administrators"
`,
    );
    system = await System.start({ args: ['--oidc', file] });
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: 'beamdesk',
          client_secret: secret,
          redirect_uris: [`${system.portal}/oidc/callback`],
          post_logout_redirect_uris: [`${system.portal}/`],
          backchannel_logout_uri: `${system.portal}/oidc/back-channel`,
          backchannel_logout_session_required: true,
        },
      ],
      claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
      features: { backchannelLogout: { enabled: true } },
      // The client wants PKCE whatever the provider would allow.
      pkce: { required: () => true },
      findAccount: (_, id) => ({
        accountId: id,
        claims: () => ({ sub: id, ...people.get(id) }),
      }),
      cookies: { keys: ['only for this test'] },
      // Its own guard refuses to tell this machine anything.
      fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
    });
    answer = provider.callback();
    root = new Api(system.portal);
    await root.setUp(system, 'root');
    for (const id of ['b2', 'b7'])
      await root.ask('POST', '/api/v1/stations', { id, name: `Beamline ${id}` });
    ({ chrome } = await browser());
  });

  after(async () => {
    await chrome?.close();
    await system?.end();
    server?.closeAllConnections();
    server?.close();
  });

  /** A browser of its own for one person. */
  async function visit(language = 'en') {
    const context = await chrome.newContext({
      locale: language === 'zh' ? 'zh-CN' : 'en-GB',
      ignoreHTTPSErrors: true,
    });
    context.setDefaultTimeout(15_000);
    // The provider's pages want a font from far away.
    const isHere = (url) => ['localhost', '127.0.0.1'].includes(url.hostname);
    await context.route(
      (url) => !isHere(url),
      (route) => route.abort(),
    );
    const page = await context.newPage();
    page.on('request', (request) => urls.push(request.url(), request.headers().referer ?? ''));
    await page.goto(system.portal);
    return page;
  }

  /** Presses the button and goes through the provider's own pages. */
  async function logIn(page, account, button = label.en) {
    await page.getByRole('button', { name: button }).click();
    await page.waitForURL(`${issuer}/**`);
    await page.locator('input[name=login]').fill(account);
    await page.locator('input[name=password]').fill('anything');
    await page.locator('button[type=submit]').click();
    // Consent, unless it was given before.
    await page.locator('button[type=submit]').click();
    await page.waitForURL(`${system.portal}/**`);
  }

  const me = (page) =>
    page.evaluate(async () => (await (await fetch('/api/v1/session')).json()).user);
  const isOut = (page) =>
    page.evaluate(async () => (await fetch('/api/v1/session')).status === 401);

  for (const [language, words] of Object.entries({ en, zh })) {
    test(`a person logs in and gets the role and stations of the groups (${language})`, async () => {
      const account = `ada-${language}`;
      people.set(account, {
        preferred_username: `Ada.${language}@example.org`,
        groups: ['users', 'bl-b7'],
      });
      const page = await visit(language);
      await logIn(page, account, label[language]);
      await page.getByRole('heading', { name: words.desktops.title, exact: true }).waitFor();
      assert.equal(new URL(page.url()).search, '', 'the code is out of the address');
      const user = await me(page);
      assert.deepEqual(
        { name: user.name, role: user.role, provided: user.provided },
        { name: `ada.${language}`, role: 'user', provided: true },
      );
      const stations = await page.evaluate(
        async () => (await (await fetch('/api/v1/offers')).json()).stations,
      );
      assert.deepEqual(
        stations.map((station) => station.id),
        ['b7'],
      );
      const wish = (station) =>
        page.evaluate(
          async (station) =>
            (
              await fetch('/api/v1/offers/check', {
                method: 'POST',
                headers: { 'X-Beamdesk': '1', 'Content-Type': 'application/json' },
                body: JSON.stringify({ image: 'debian-desktop', size: 'small', station }),
              })
            ).status,
          station,
        );
      assert.equal(await wish('b7'), 200);
      assert.equal(await wish('b2'), 400, 'another station is not to be had by asking');
      // Nothing of the provider's is in the browser but in its own cookies.
      const cookies = await page.context().cookies(system.portal);
      const names = cookies.map((cookie) => cookie.name);
      assert.ok(names.includes('__Host-sid') && !names.includes('__Host-oidc'), String(names));
      const kept = await page.evaluate(() =>
        JSON.stringify([{ ...localStorage }, document.cookie]),
      );
      assert.doesNotMatch(kept, /eyJ|access_token/);
      await page.context().close();
    });
  }

  test('who left the administrators is none at the next login, and at once elsewhere', async () => {
    people.set('grace', { preferred_username: 'grace', groups: ['admins'] });
    const first = await visit();
    await logIn(first, 'grace');
    await first.getByRole('link', { name: en.nav.users }).waitFor();
    people.set('grace', { preferred_username: 'grace', groups: ['users'] });
    const second = await visit();
    await logIn(second, 'grace');
    await second.getByRole('heading', { name: en.desktops.title, exact: true }).waitFor();
    assert.equal((await me(second)).role, 'user');
    assert.equal(await second.getByRole('link', { name: en.nav.users }).count(), 0);
    assert.equal(await isOut(first), true);
    await first.context().close();
    await second.context().close();
  });

  test('who is in no group is told so, in words', async () => {
    people.set('mallory', { preferred_username: 'mallory', groups: ['strangers'] });
    const page = await visit();
    await logIn(page, 'mallory');
    await page.getByText(en.errors.codes.no_access).waitFor();
    assert.equal(await isOut(page), true);
    await page.context().close();
  });

  test('an answer that this browser did not ask for logs nobody in', async () => {
    const page = await visit();
    for (const query of ['code=x&state=y', 'error=access_denied', 'code=a&code=b', '']) {
      await page.goto(`${system.portal}/oidc/callback?${query}`);
      await page.getByText(en.errors.codes.login_expired).waitFor();
    }
    assert.equal(await isOut(page), true);
    await page.context().close();
  });

  test('who says no at the provider comes back to the login page', async () => {
    const page = await visit();
    await page.getByRole('button', { name: label.en }).click();
    await page.waitForURL(`${issuer}/**`);
    await page.getByText('Cancel').click();
    await page.getByText(en.errors.codes.login_denied).waitFor();
    await page.context().close();
  });

  test('logging out ends the stream, our session and the provider’s', async () => {
    people.set('alan', { preferred_username: 'alan', groups: ['users'] });
    const page = await visit();
    await logIn(page, 'alan');
    await page.getByRole('heading', { name: en.desktops.title, exact: true }).waitFor();
    const call = (method, path, body) =>
      page.evaluate(
        async ([method, path, body]) => {
          const answer = await fetch(path, {
            method,
            headers: { 'X-Beamdesk': '1', 'Content-Type': 'application/json' },
            body: body === null ? undefined : JSON.stringify(body),
          });
          return { status: answer.status, json: await answer.json().catch(() => null) };
        },
        [method, path, body ?? null],
      );
    const made = await call('POST', '/api/v1/desktops', {
      name: 'Of Alan',
      image: 'debian-desktop',
      size: 'small',
    });
    assert.equal(made.status, 201, JSON.stringify(made.json));
    await page.waitForSelector('[data-testid="desktop"][data-phase="ready"]', { timeout: 60_000 });
    const opened = page.context().waitForEvent('page');
    await page.getByRole('button', { name: en.desktops.connect }).click();
    const viewer = await opened;
    await viewer.waitForURL(/\/d\/[0-9a-f-]{36}/);
    await exact(viewer);

    await page.bringToFront();
    await page.getByRole('button', { name: en.nav.logOut }).click();
    await page.waitForURL(`${issuer}/**`);
    await page.getByRole('button', { name: /yes/i }).click();
    await page.waitForURL(`${system.portal}/`);
    await page.getByRole('button', { name: label.en }).waitFor();
    assert.equal(await isOut(page), true);
    await viewer.getByText(en.viewer.reasons.logged_out).waitFor({ timeout: 6000 });
    // The provider asks for the password again.
    await page.getByRole('button', { name: label.en }).click();
    await page.waitForURL(`${issuer}/**`);
    await page.locator('input[name=login]').waitFor();
    await page.context().close();
  });

  test('a logout at the provider ends our session, by its back channel', async () => {
    people.set('emmy', { preferred_username: 'emmy', groups: ['users'] });
    const page = await visit();
    await logIn(page, 'emmy');
    await page.getByRole('heading', { name: en.desktops.title, exact: true }).waitFor();
    const other = await page.context().newPage();
    await other.goto(`${issuer}/session/end`);
    await other.getByRole('button', { name: /yes/i }).click();
    await eventually('our session has ended', () => isOut(page));
    await page.context().close();
  });

  test('passwords are for administrators, for the day on which the provider is away', async () => {
    await root.ask('POST', '/api/v1/users', {
      name: 'local',
      password: 'correct horse battery',
      role: 'user',
    });
    const page = await visit();
    await page.getByText(en.login.localForAdministrators).click();
    const logInHere = async (name) => {
      await page.locator('#name').fill(name);
      await page.getByLabel(en.password, { exact: true }).fill('correct horse battery');
      await page.getByRole('button', { name: en.login.submit, exact: true }).click();
    };
    await logInHere('local');
    await page.getByText(en.errors.codes.not_local).waitFor();
    await logInHere('root');
    await page.getByRole('heading', { name: en.desktops.title, exact: true }).waitFor();
    // Who vouches for whom is shown.
    await page.getByRole('link', { name: en.nav.users }).click();
    const row = page.getByRole('row', { name: /grace/ });
    await row.getByText(en.users.provided).waitFor();
    assert.equal(await row.getByRole('button', { name: en.users.setPassword }).count(), 0);
    await page.context().close();
  });

  test('no token, secret or verifier is in an address, a log or a file of the portal', () => {
    for (const url of urls.filter((url) => !url.startsWith(issuer))) {
      assert.doesNotMatch(url, /id_token|access_token|code_verifier|client_secret/);
    }
    assert.doesNotMatch(system.log, /eyJ[A-Za-z0-9_-]{20}/);
    assert.doesNotMatch(system.log, new RegExp(secret));
    for (const name of readdirSync(system.data).filter((name) => name.startsWith('beamdesk.db'))) {
      const text = readFileSync(join(system.data, name), 'latin1');
      assert.doesNotMatch(text, /eyJ[A-Za-z0-9_-]{20}/, name);
    }
  });
});
