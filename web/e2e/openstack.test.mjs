// A desktop on a real cloud: Nova boots a real guest with our user-data on a config drive, its agent enrols, and
// Chromium shows it. Needs the lab: `cargo xtask test --openstack --guest`.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectHere, exact, loggedIn } from './desktop.mjs';
import { System, binaries, browser, canvasPicture, eventually } from './system.mjs';

const lab = process.env.BEAMDESK_LAB && JSON.parse(readFileSync(process.env.BEAMDESK_LAB, 'utf8'));
const skip = !lab?.guest_image && 'no lab with guests: run `cargo xtask test --openstack --guest`';
const deployment = `e2e-${process.pid}`;
// An emulated guest of a busy machine needs minutes for what takes seconds elsewhere.
const boot = 900_000;
const work = 180_000;
let portalUrl;

let folder, system, monitor, chrome, context, began;
/** Says how long each part took: it is what a person who looks at the lab wants to know. */
const took = (what) => console.log(`  ${((Date.now() - began) / 1000).toFixed(1)} s  ${what}`);

before(async () => {
  if (skip) return;
  folder = mkdtempSync(join(tmpdir(), 'beamdesk-openstack-'));
  const monitorPort = await freePort();
  portalUrl = `https://${lab.portal_ip}:${monitorPort}`;
  const config = join(folder, 'openstack.toml');
  writeFileSync(
    config,
    `clouds_file = "${lab.clouds_file}"
cloud = "${lab.cloud}"
deployment = "${deployment}"
network = "${lab.guest_network}"
portals = ["${portalUrl}"]
gateways = ["${lab.portal_ip}/32"]
egress = ["${lab.portal_ip}/32"]
images = ["${lab.guest_image}"]
stop = "stop"
`,
  );
  system = await System.start({
    listen: '0.0.0.0',
    monitorPort,
    args: ['--openstack', config],
  });
  ({ chrome, context } = await browser());
});

after(async () => {
  await chrome?.close();
  monitor?.kill();
  await system?.end();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test(
  'a desktop on a guest that Nova booted is seen and used',
  { skip, timeout: boot + 3 * work },
  async (t) => {
    const { api, page } = await loggedIn(system, context);
    await letMonitorIn(api);
    // The cloud's images are looked for each minute.
    const image = await eventually(
      'the cloud has an image',
      async () => (await api.ask('GET', '/api/v1/images')).images[0],
      work,
    );
    began = Date.now();
    const made = await api.ask('POST', '/api/v1/desktops', {
      name: 'Real guest',
      image: image.id,
      size: 'small',
    });
    t.after(() => api.call('DELETE', `/api/v1/desktops/${made.id}`));
    let phase;
    await eventually(
      'the desktop is ready',
      async () => {
        const desktop = await api.desktop(made.id);
        if (desktop?.phase !== phase) took((phase = desktop?.phase));
        if (phase === 'failed') throw new Error(JSON.stringify(desktop.failure));
        return phase === 'ready';
      },
      boot,
    ).catch(withLog);

    const servers = await nova(`/servers/detail?tags=beamdesk:${deployment}`);
    assert.deepEqual(
      servers.servers.map(({ name, status, metadata }) => [
        name,
        status,
        metadata.beamdesk_desktop,
      ]),
      [[`beamdesk-${made.id}`, 'ACTIVE', made.id]],
    );

    page.setDefaultTimeout(work);
    await Promise.all([
      page.waitForURL(/\/d\//, { timeout: work }),
      page.evaluate(connectHere, made.id),
    ]);
    await exact(page, work);
    took('the first exact picture in Chromium');

    // The agent's wallpaper and the panel: not a black screen.
    await eventually(
      'the panel is there',
      async () => colours(await canvasPicture(page)) > 50,
      work,
    );
    took('the panel is on the screen');
    // What is typed and clicked arrives: the desktop's menu opens where the pointer is.
    const before = await canvasPicture(page);
    const [width, height] = [before.width, before.height];
    await page.mouse.move(width / 3, height / 3);
    await page.mouse.click(width / 3, height / 3, { button: 'right' });
    await eventually(
      'a click changes the picture',
      async () => differing(before, await canvasPicture(page)) > 2000,
      work,
    );
    await exact(page, work);
    took('a click was answered, and the picture is exact again');
    const shot = join(dirname(process.env.BEAMDESK_LAB), 'shots');
    mkdirSync(shot, { recursive: true });
    await page.screenshot({ path: join(shot, 'desktop.png') });

    await api.ask('DELETE', `/api/v1/desktops/${made.id}`);
    await eventually(
      'Nova has nothing of it any more',
      async () =>
        (await nova(`/servers/detail?tags=beamdesk:${deployment}`)).servers.length === 0 &&
        (await neutron(`/v2.0/ports?name=beamdesk-${made.id}`)).ports.length === 0 &&
        (await neutron(`/v2.0/security-groups?name=beamdesk-${made.id}`)).security_groups.length ===
          0,
      work,
    );
    took('deleted, with port and security group');
  },
);

/**
 * The portal's account may not see Nova's hosts: what there is, it learns from a monitor on the host, as in
 * production.
 */
async function letMonitorIn(api) {
  const { secret } = await api.ask('POST', '/api/v1/nodes/enrolments', { uses: 1 });
  const file = join(folder, 'secret');
  writeFileSync(file, secret, { mode: 0o600 });
  monitor = spawn(
    join(binaries, 'beamdesk'),
    ['monitor', '--portal', portalUrl, '--secret-file', file, '--name', lab.libvirt_host].concat([
      '--state',
      join(folder, 'monitor'),
      '--interval',
      '2',
      '--no-nvml',
    ]),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  monitor.stderr.on('data', (text) => (system.log += text));
  await eventually('the host is known', async () => {
    const { nodes } = await api.ask('GET', '/api/v1/nodes');
    return nodes.some(({ node, record }) => node.name === lab.libvirt_host && record);
  }).catch(withLog);
}

/** Asks Nova itself, as the portal's user. */
async function nova(path) {
  return await cloud('http://127.0.0.1:8774/v2.1', path, {
    'OpenStack-API-Version': 'compute 2.74',
  });
}

async function neutron(path) {
  return await cloud('http://127.0.0.1:9696', path, {});
}

let token;
async function cloud(base, path, headers) {
  token ??= await logIn();
  const answer = await fetch(base + path, { headers: { 'X-Auth-Token': token, ...headers } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return await answer.json();
}

async function logIn() {
  const { clouds } = JSON.parse(readFileSync(lab.clouds_file, 'utf8'));
  const { application_credential_id: id, application_credential_secret: secret } =
    clouds[lab.cloud].auth;
  const answer = await fetch(`${lab.auth_url}/auth/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      auth: {
        identity: { methods: ['application_credential'], application_credential: { id, secret } },
      },
    }),
  });
  return answer.headers.get('X-Subject-Token');
}

/** How many colours a picture has, up to some hundred. */
function colours({ rgb }) {
  const seen = new Set();
  for (let i = 0; i < rgb.length && seen.size < 500; i += 3)
    seen.add((rgb[i] << 16) | (rgb[i + 1] << 8) | rgb[i + 2]);
  return seen.size;
}

/** In how many pixels two pictures differ. */
function differing(one, other) {
  if (one.rgb.length !== other.rgb.length) return 0;
  let count = 0;
  for (let i = 0; i < one.rgb.length; i += 3)
    if (one.rgb.compare(other.rgb, i, i + 3, i, i + 3) !== 0) count++;
  return count;
}

/** What the portal and the monitor said last tells why. */
function withLog(error) {
  throw new Error(`${error}\n${system.log.slice(-8000)}`);
}

/** A port that was free a moment ago: the agents are told it before the portal listens. */
async function freePort() {
  const server = createServer().listen(0, '0.0.0.0');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}
