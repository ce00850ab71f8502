// A host with three cards: all are seen, given to one desktop each, waited for, and given on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { en } from '../src/text/en.ts';
import { a6000, fixture } from './cards.mjs';
import { loggedIn, ready } from './desktop.mjs';
import { System, browser, eventually } from './system.mjs';

/** What a card of these tests has. */
const memoryMib = 48 * 1024;
const size = {
  id: 'one-card',
  name: 'One card',
  vcpus: 1,
  memory_mib: 512,
  disk_gib: 1,
  gpu: { count: 1, memory_mib: 40 * 1024, cores: 10_000, models: ['RTX A6000'] },
  term_hours: 8,
  enabled: true,
};

describe('placement', () => {
  let host, system, chrome, context, api, page;

  before(async () => {
    host = fixture([a6000, a6000, a6000]);
    system = await System.start({
      args: ['--desktops-max', '8', '--monitor-root', host.root],
    });
    ({ chrome, context } = await browser({ language: 'en' }));
    ({ api, page } = await loggedIn(system, context));
    await api.ask('POST', '/api/v1/sizes', size);
  });
  after(async () => {
    await chrome?.close();
    await system?.end();
    host?.end();
  });

  const node = async () => (await api.ask('GET', '/api/v1/nodes')).nodes[0];
  const held = async () =>
    (await node()).cards.flatMap(({ address, holders }) =>
      holders.map(({ desktop }) => [desktop, address]),
    );

  test('exactly the three cards of the host are seen', async () => {
    const { cards, state } = await eventually('the monitor has reported', async () => {
      const seen = await node();
      return seen.record && seen;
    });
    assert.equal(state, 'open');
    assert.deepEqual(
      cards.map(({ address, model, memory_mib, state: is }) => [address, model, memory_mib, is]),
      ['0000:41:00.0', '0000:42:00.0', '0000:43:00.0'].map((address) => [
        address,
        'RTX A6000',
        memoryMib,
        'free',
      ]),
    );
    await page.goto(`${system.portal}/hosts`);
    await page.getByText('0000:43:00.0').first().waitFor();
    assert.equal(await page.getByText('RTX A6000', { exact: true }).count(), 3);
  });

  test('a fourth desktop waits, is told why, and starts when a card is given back', async () => {
    const first = [];
    for (const name of ['One', 'Two', 'Three']) {
      first.push(await api.create(name, size.id));
    }
    for (const { id } of first) await ready(api, id);
    const cards = await held();
    assert.equal(new Set(cards.map(([, address]) => address)).size, 3, 'one card each');

    await page.goto(`${system.portal}/new`);
    await page.getByLabel(en.create.name, { exact: true }).fill('Four');
    await page.getByText(size.name, { exact: true }).first().click();
    await page.getByRole('button', { name: en.create.submit, exact: true }).click();
    const card = page.getByTestId('desktop').filter({ hasText: 'Four' });
    await card.and(page.locator('[data-phase="pending"]')).waitFor();
    await card.getByText(en.desktops.misfits.gpus(1, { count: 1, share: 1000 })).waitFor();
    const four = (await api.desktops()).find(({ name }) => name === 'Four');
    assert.equal(four.waiting.place, 1);
    assert.deepEqual(four.waiting.misfits, [{ code: 'gpus', nodes: 1 }]);
    // The first of the three ends its term in eight hours: then there is a card.
    const hours = (new Date(four.waiting.estimate) - Date.now()) / 3_600_000;
    assert.ok(hours > 7.9 && hours <= 8, `${hours} hours`);

    await api.ask('POST', `/api/v1/desktops/${first[1].id}/stop`);
    await card.and(page.locator('[data-phase="ready"]')).waitFor({ timeout: 30_000 });
    const now = new Map(await held());
    const before = new Map(cards);
    assert.equal(now.get(four.id), before.get(first[1].id), 'it has the card that was given back');
    assert.equal(now.size, 3);
  });

  test('a stopped desktop waits for a card like any other, and what it holds outlives a restart', async () => {
    const two = (await api.desktops()).find(({ name }) => name === 'Two');
    await api.ask('POST', `/api/v1/desktops/${two.id}/start`);
    await eventually('it waits', async () => {
      const seen = await api.desktop(two.id);
      return seen.phase === 'pending' && seen.waiting?.place === 1;
    });
    const before = await held();
    await system.down();
    await system.up();
    await api.logIn();
    assert.deepEqual(await held(), before);
    const three = (await api.desktops()).find(({ name }) => name === 'Three');
    await api.ask('DELETE', `/api/v1/desktops/${three.id}`);
    await ready(api, two.id);
    assert.equal((await held()).length, 3);
  });

  test('a request that no host could ever meet says so, and a bad one names its key', async () => {
    const gpu = { ...size.gpu, count: 4 };
    await api.ask('POST', '/api/v1/sizes', { ...size, id: 'four-cards', name: 'Four cards', gpu });
    const never = await api.create('Never', 'four-cards');
    const { waiting } = await eventually('it waits', async () => {
      const seen = await api.desktop(never.id);
      return seen.waiting && seen;
    });
    assert.equal(waiting.never, true);
    await api.ask('DELETE', `/api/v1/desktops/${never.id}`);
    for (const count of [65, 1e9]) {
      const bad = { ...size, id: 'bad', gpu: { ...size.gpu, count } };
      const answer = await api.call('POST', '/api/v1/sizes', bad);
      assert.equal(answer.status, 400, answer.text);
      assert.match(answer.text, /heps:gpu_num/);
    }
  });
});
