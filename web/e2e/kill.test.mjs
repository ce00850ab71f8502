// kill -9 of the whole process at any moment of create and delete: no desktop lost, nothing left over.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Api } from './api.mjs';
import { System, eventually } from './system.mjs';

const step_ms = 40;
const steps = 16;
let system, api;

before(async () => {
  system = await System.start();
  api = new Api(system.portal);
  await api.setUp(system);
});
after(async () => {
  await system.end();
});

/** Ends the process as a power failure would, and starts it anew. */
async function crash() {
  await system.down('SIGKILL');
  await system.up();
}

/** Processes, mounts, control groups and folders that belong to this system's desktops. */
function leftovers() {
  const found = system.belongings().map((pid) => `process ${pid}`);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  found.push(...mounts.filter((line) => line.includes(system.data)));
  const groups = execFileSync('find', [
    '/sys/fs/cgroup',
    '-mindepth',
    '2',
    '-type',
    'd',
    '-path',
    `*${system.mark()}/*`,
  ]);
  found.push(
    ...groups
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((path) => `group ${path}`),
  );
  const sandboxes = join(system.data, 'sandboxes');
  if (existsSync(sandboxes)) {
    const folders = readdirSync(sandboxes).filter((name) => /^[0-9a-f-]{36}$/.test(name));
    found.push(...folders.map((name) => `folder ${name}`));
  }
  return found;
}

const accepted = (answer) => answer !== undefined && answer.status < 300;

/** Namespaces of the running desktop, beside the ones we are in ourselves. */
function namespaces() {
  const of = (pid) =>
    readdirSync(`/proc/${pid}/ns`).map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
  const ours = new Set(of('self'));
  return system.processes('Xvfb').flatMap((pid) => of(pid).filter((name) => !ours.has(name)));
}

/** Which of these some process is still in. */
function alive(names) {
  const known = execFileSync('lsns', ['-n', '-o', 'TYPE,NS'], { encoding: 'utf8' });
  const present = new Set(
    known.split('\n').map((line) => line.trim().replace(/\s+(\d+)$/, ':[$1]')),
  );
  return names.filter((name) => present.has(name));
}

test('kill -9 at any moment of create and delete loses nothing and leaves nothing', async () => {
  const made = new Set();
  for (let step = 0; step < steps; step++) {
    const asked = api.create(`Desktop ${step}`).catch(() => undefined);
    await new Promise((wake) => setTimeout(wake, step * step_ms));
    await crash();
    const created = await asked;

    const all = await api.desktops();
    // An answered request is kept; an unanswered one may have happened or not, but only once.
    if (created) assert.equal(all.length, 1, `step ${step}: the desktop is lost`);
    assert.ok(all.length <= 1, `step ${step}: made twice`);
    const id = all[0]?.id ?? (await api.create(`Again ${step}`)).id;
    await eventually(
      `step ${step}: ready after the crash`,
      async () => (await api.desktop(id))?.phase === 'ready',
    );
    assert.equal(leftovers().filter((line) => line.startsWith('folder')).length, 1);

    for (const name of namespaces()) made.add(name);
    const removed = api.call('DELETE', `/api/v1/desktops/${id}`).catch(() => undefined);
    await new Promise((wake) => setTimeout(wake, step * 15));
    await crash();
    const answer = await removed;
    if (!accepted(answer) && (await api.desktop(id)))
      await api.ask('DELETE', `/api/v1/desktops/${id}`);
    await eventually(`step ${step}: gone after the crash`, async () => {
      const left = await api.desktops();
      if (left.length > 0) throw new Error(`${answer?.text} ${JSON.stringify(left)} ${system.log}`);
      return true;
    });
    await eventually(`step ${step}: nothing left over`, () => {
      const left = leftovers();
      if (left.length > 0) throw new Error(left.join('\n'));
      return true;
    });
  }
  assert.ok(made.size >= 5, 'desktops have namespaces of their own');
  await eventually('all namespaces are gone', () => alive([...made]).length === 0, 5000);
});

test('a desktop that runs goes on running through a kill -9, and a second start finds it', async () => {
  const { id } = await api.create('Survivor');
  const before = await eventually('ready', async () => {
    const desktop = await api.desktop(id);
    return desktop?.phase === 'ready' && desktop;
  });
  await crash();
  const after = await eventually('ready again', async () => {
    const desktop = await api.desktop(id);
    return desktop?.phase === 'ready' && desktop;
  });
  assert.equal(after.generation, before.generation, 'the same server, not a new one');
});

test('Ctrl-C stops everything; the next start finds all as it was', async () => {
  const [{ id, generation }] = await api.desktops();
  const { code } = await system.down('SIGINT');
  assert.equal(code, 0);
  assert.deepEqual(
    leftovers().filter((line) => !line.startsWith('folder')),
    [],
  );
  await system.up();
  await eventually('ready again, on a new server', async () => {
    const desktop = await api.desktop(id);
    return desktop?.phase === 'ready' && desktop.generation > generation;
  });
  await api.ask('DELETE', `/api/v1/desktops/${id}`);
  await eventually('gone', async () => (await api.desktops()).length === 0);
});
