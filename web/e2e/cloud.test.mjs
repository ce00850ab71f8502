// The page Cloud against a real cloud: hosts, flavors that are mended, servers that nobody claims after a database was
// lost. Needs the lab: `cargo xtask test --openstack`.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { loggedIn } from './desktop.mjs';
import { System, browser, eventually } from './system.mjs';

const lab = process.env.BEAMDESK_LAB && JSON.parse(readFileSync(process.env.BEAMDESK_LAB, 'utf8'));
const skip = !lab && 'no lab: run `cargo xtask test --openstack`';
// Two cores carry the whole cloud and this test.
const work = 120_000;
const shots = lab && join(dirname(process.env.BEAMDESK_LAB), 'shots');

let folder, config, system, chrome, context;
const start = () => System.start({ args: ['--openstack', config] });

before(async () => {
  if (skip) return;
  mkdirSync(shots, { recursive: true });
  folder = mkdtempSync(join(tmpdir(), 'beamdesk-cloud-'));
  config = join(folder, 'openstack.toml');
  writeFileSync(
    config,
    `clouds_file = "${lab.clouds_file}"
cloud = "beamdesk-inventory"
deployment = "page-${process.pid}"
network = "${lab.network}"
portals = ["https://127.0.0.1:8445"]
gateways = ["127.0.0.1/32"]
images = ["${lab.image}"]
make_flavors = true
`,
  );
  system = await start();
});

after(async () => {
  await chrome?.close();
  await system?.end();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** The set-up link is good once; after that people log in. */
async function entered(where) {
  const inside = await loggedIn(system, where);
  system.setup_link = undefined;
  return inside;
}

/** The page as an administrator sees it, in each language and size. */
async function seen(name) {
  for (const [language, dark, viewport] of [
    ['en', false, { width: 1280, height: 800 }],
    ['zh', true, { width: 1280, height: 800 }],
    ['en', false, { width: 3840, height: 2160 }],
  ]) {
    const other = await browser({ language, dark, viewport });
    try {
      const { api, page } = await entered(other.context);
      await api.ask('PATCH', '/api/v1/me', { language, theme: dark ? 'dark' : 'light' });
      await page.goto(`${system.portal}/cloud`);
      await page.getByTestId('flavor').first().waitFor({ timeout: work });
      await page.screenshot({
        path: join(shots, `${name}-${language}-${viewport.width}.png`),
        fullPage: true,
      });
    } finally {
      await other.chrome.close();
    }
  }
}

test(
  'hosts are shown in order, a missing flavor is made, and one that drifted is mended',
  { skip, timeout: 5 * work },
  async () => {
    ({ chrome, context } = await browser());
    const { api, page } = await entered(context);
    const id = `odd-${process.pid}`;
    const size = {
      id,
      name: 'Odd',
      vcpus: 1,
      memory_mib: 3072,
      disk_gib: 7,
      enabled: true,
    };
    await api.ask('POST', '/api/v1/sizes', size);
    await page.goto(`${system.portal}/cloud`);
    await page.getByTestId('cloud-host').filter({ hasText: 'fake001' }).waitFor({ timeout: work });
    assert.ok((await page.getByTestId('cloud-host').count()) >= lab.fake_hosts);
    // In the order of their names, as people look for them.
    const names = await page.getByTestId('cloud-host').getByRole('rowheader').allTextContents();
    assert.deepEqual(names, names.toSorted());
    const flavor = page.getByTestId('flavor').filter({ hasText: id });
    await flavor.getByText('missing').waitFor({ timeout: work });
    await seen('cloud');
    await flavor.getByRole('button', { name: id }).click();
    await flavor.getByText(`beamdesk-${id}`).waitFor({ timeout: work });
    await flavor.getByText('as it should be').waitFor({ timeout: work });
    // And what is otherwise there than here.
    await api.ask('PUT', `/api/v1/sizes/${id}`, { ...size, vcpus: 3 });
    await page.reload();
    await flavor.getByRole('listitem').first().waitFor({ timeout: work });
    await flavor.getByRole('button', { name: id }).click();
    await flavor.getByText('as it should be').waitFor({ timeout: work });
  },
);

test(
  'after the database is lost a server is unclaimed, stays, and is deleted by a person',
  { skip, timeout: 8 * work },
  async () => {
    const { api } = await entered(context);
    const image = await eventually(
      'the cloud has an image',
      async () => (await api.ask('GET', '/api/v1/images')).images[0],
      work,
    );
    const made = await api.ask('POST', '/api/v1/desktops', {
      name: 'Soon nobody’s',
      image: image.id,
      size: 'small',
    });
    await eventually(
      'its server is there',
      async () => {
        const { phase } = await api.ask('GET', `/api/v1/desktops/${made.id}`);
        assert.notEqual(phase, 'failed');
        return phase === 'booting';
      },
      2 * work,
    );
    await system.end();
    system = await start();
    await chrome.close();
    ({ chrome, context } = await browser());
    const { page } = await entered(context);
    await page.goto(`${system.portal}/cloud`);
    const row = page.getByTestId('unclaimed').getByRole('row').filter({ hasText: made.id });
    await row.waitFor({ timeout: work });
    await seen('unclaimed');
    await row.getByRole('button', { name: /delete/i }).click();
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /delete/i })
      .click();
    await eventually('it is gone', async () => (await row.count()) === 0, work);
  },
);
