// What can be wrong at the start, each with a message that says what to do; and what is right.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'node:https';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { Api } from './api.mjs';
import { System, binaries, eventually } from './system.mjs';

let system;
before(async () => {
  system = await System.start();
});
after(async () => {
  await system.end();
});

/** Runs `beamdesk up` where it must fail at once, and gives what it said. */
function refused(options) {
  const free = {
    '--https-port': 0,
    '--http-port': 0,
    '--gateway-https-port': 0,
    '--gateway-http-port': 0,
  };
  const all = Object.entries({ '--listen': '127.0.0.1', ...free, ...options })
    .flat()
    .map(String);
  const done = spawnSync(join(binaries, 'beamdesk'), ['up', ...all], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(done.status, 1, `it should refuse: ${done.stdout}${done.stderr}`);
  return done.stderr;
}

const folder = () => mkdtempSync(join(tmpdir(), 'beamdesk-start-'));

test('it is usable within two seconds', async () => {
  const data = folder();
  const other = await System.start({ data });
  await other.down();
  const began = performance.now();
  await other.up();
  const took = performance.now() - began;
  const answer = await fetch(`${other.portal}/healthz`);
  assert.equal(answer.status, 200);
  await other.end();
  assert.ok(took < 2000, `${took} ms`);
});

test('a port in use is named, with the option that chooses another', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address();
  const data = folder();
  assert.match(
    refused({ '--data': data, '--http-port': port }),
    new RegExp(`port ${port} is in use.*--http-port`),
  );
  server.close();
  rmSync(data, { recursive: true });
});

test('a second process on the same folder is refused', () => {
  assert.match(refused({ '--data': system.data }), /another beamdesk already runs/);
});

test('a database from a newer version is left alone', async () => {
  const data = folder();
  const other = await System.start({ data });
  await other.down();
  const database = join(data, 'beamdesk.db');
  const connection = new DatabaseSync(database);
  connection.exec(
    "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99990101, 'later', TRUE, x'00', 0)",
  );
  connection.close();
  assert.match(refused({ '--data': data }), /newer/);
  rmSync(data, { recursive: true });
});

test('a damaged database is refused, not silently replaced', () => {
  const data = folder();
  writeFileSync(join(data, 'beamdesk.db'), Buffer.alloc(8192, 0x55));
  assert.match(refused({ '--data': data }), /database/);
  rmSync(data, { recursive: true });
});

test('the set-up link works once, and only while there is no administrator', async () => {
  const api = new Api(system.portal);
  const token = new URL(system.setup_link).hash.slice(1);
  const wrong = await api.call('POST', '/api/v1/setup', {
    token: 'x'.repeat(43),
    name: 'eve',
    password: 'long enough to pass',
  });
  assert.ok(wrong.status >= 400 && wrong.status < 500, String(wrong.status));
  await api.setUp(system);
  const again = await new Api(system.portal).call('POST', '/api/v1/setup', {
    token,
    name: 'eve',
    password: 'long enough to pass',
  });
  assert.ok(again.status >= 400 && again.status < 500, String(again.status));
  await system.down();
  await system.up();
  assert.equal(system.setup_link, null);
});

test('HTTPS works with the certificate it made', async () => {
  const status = await new Promise((done, fail) => {
    const call = request(
      `${system.portal_https}/healthz`,
      { rejectUnauthorized: false },
      (answer) => {
        answer.resume();
        done(answer.statusCode);
      },
    );
    call.on('error', fail).end();
  });
  assert.equal(status, 200);
});

test('a full disk gets a clear answer, loses nothing, and recovers', async () => {
  const data = folder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', data]);
  const small = await System.start({ data });
  try {
    const api = new Api(small.portal);
    await api.setUp(small);
    spawnSync('dd', ['if=/dev/zero', `of=${join(data, 'ballast')}`, 'bs=64k'], { stdio: 'ignore' });
    const refusedHere = await eventually('a write is refused', async () => {
      const answer = await api.call('POST', '/api/v1/desktops', {
        name: 'No room',
        image: 'debian-desktop',
        size: 'small',
      });
      return answer.status >= 500 && answer;
    });
    assert.match(refusedHere.json.error.code, /disk_full|storage_full|full/);
    assert.equal((await api.call('GET', '/api/v1/session')).status, 200, 'reading goes on');
    rmSync(join(data, 'ballast'));
    await eventually('writing works again', async () => {
      const answer = await api.call('PATCH', '/api/v1/me', { theme: 'dark' });
      return answer.status < 300;
    });
  } finally {
    await small.down();
    execFileSync('umount', ['-l', data]);
    await small.end();
  }
});
