// The products: each gives a desktop of a size, and a page that shows it.
import { execFileSync, spawn } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectHere, exact, loggedIn, ready } from '../../e2e/desktop.mjs';
import { Api } from '../../e2e/api.mjs';
import { System, eventually } from '../../e2e/system.mjs';
import { family, pause } from './tools.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** Programs that one product consists of, in a folder of their own. */
class Parts {
  constructor(name) {
    this.folder = mkdtempSync(join(tmpdir(), `beamdesk-bench-${name}-`));
    this.children = [];
    this.logs = [];
  }

  start(program, args, env = {}) {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        this.logs = [...this.logs.slice(-200), `${program}: ${text}`];
      });
    }
    child.on('error', (error) => this.logs.push(`${program}: ${error}`));
    this.children.push(child);
    return child;
  }

  pids() {
    return this.children.flatMap((child) => (child.pid ? family(child.pid) : []));
  }

  async stop() {
    const pids = this.pids();
    for (const child of [...this.children].reverse()) child.kill();
    await pause(500);
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        continue; // Ended by itself.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A display number that nobody uses. */
let lastNumber = 400;
function freeNumber() {
  do lastNumber++;
  while (existsSync(`/tmp/.X11-unix/X${lastNumber}`) || existsSync(`/tmp/.X${lastNumber}-lock`));
  return lastNumber;
}

async function xvfb(parts, number, { width, height }) {
  parts.start('Xvfb', [
    `:${number}`,
    '-screen',
    '0',
    `${width}x${height}x24`,
    '-nolisten',
    'tcp',
    '-noreset',
  ]);
  await eventually('Xvfb is up', () => existsSync(`/tmp/.X11-unix/X${number}`));
  parts.start('openbox', [], { DISPLAY: `:${number}` });
}

async function beamdesk({ width, height }) {
  const system = await System.start();
  const api = new Api(system.portal);
  await api.setUp(system);
  system.setup_link = null;
  const { id } = await api.create('Bench', 'medium');
  await ready(api, id);
  const gateway = Number(new URL(system.gateway).port);
  const named = (...names) => names.flatMap((name) => system.processes(name));
  return {
    display: await eventually('the desktop has a display', () => system.display()),
    port: gateway,
    /** The page's bar lies above the picture. */
    async open(browser) {
      const { page } = await loggedIn(system, browser);
      await page.resize({ width, height: height + 60 });
      await page.evaluate(connectHere, id);
      const room = await page.waitForFunction(
        () => window.beamdesk && document.querySelector('main.stage')?.clientHeight,
      );
      await page.resize({ width, height: height + (height + 60 - room) });
      await page.waitForFunction(
        ([wide, high]) => {
          const canvas = document.querySelector('#picture');
          return canvas.width === wide && canvas.height === high;
        },
        [width, height],
      );
      await exact(page, 20_000);
      return page;
    },
    /** What the stream itself says about its stages while it runs; it is not measured meanwhile. */
    async stages(page) {
      const click = () =>
        [...document.querySelectorAll('[role=toolbar] button')]
          .find(({ title }) => title === 'Statistics')
          .click();
      await page.evaluate(click);
      await pause(2000);
      const said = await page.evaluate(() => {
        const { view, numbers, inWorker, decodes } = window.beamdesk;
        return { status: view.status, numbers, inWorker, decodes };
      });
      await page.evaluate(click);
      return said;
    },
    pids: () => ({
      gateway: [system.process.pid],
      agent: named('beamdesk-agent', 'agent'),
      x: named('Xvfb'),
      all: [system.process.pid, ...system.belongings()],
    }),
    stop: () => system.end(),
  };
}

const types = {
  '.js': 'text/javascript',
  '.html': 'text/html',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};

/** TigerVNC behind websockify, and a page with noVNC's own client, at its defaults. */
async function novnc({ width, height }) {
  const client = join(here, '../../node_modules/@novnc/novnc');
  const parts = new Parts('novnc');
  const number = freeNumber();
  const rfb = 5900 + number;
  const port = 6100 + number;
  parts.start('Xtigervnc', [
    `:${number}`,
    '-geometry',
    `${width}x${height}`,
    '-depth',
    '24',
    '-SecurityTypes',
    'None',
    '-localhost',
    '-rfbport',
    String(rfb),
  ]);
  await eventually('Xtigervnc is up', () => existsSync(`/tmp/.X11-unix/X${number}`));
  parts.start('openbox', [], { DISPLAY: `:${number}` });
  parts.start('websockify', [`127.0.0.1:${port}`, `127.0.0.1:${rfb}`]);
  const html = `<!doctype html><meta charset=utf-8><style>html,body,#s{margin:0;height:100%}</style><div id=s></div>
<script type=module>import RFB from '/core/rfb.js';
const rfb=new RFB(document.getElementById('s'),'ws://127.0.0.1:${port}');rfb.scaleViewport=false;rfb.clipViewport=false;
rfb.addEventListener('connect',()=>document.title='connected');</script>`;
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path === '/') return void response.setHeader('Content-Type', 'text/html').end(html);
    const file = join(client, path);
    if (!file.startsWith(client) || !existsSync(file)) return void response.writeHead(404).end();
    response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
    createReadStream(file).pipe(response);
  }).listen(0, '127.0.0.1');
  await eventually('the page server listens', () => server.address());
  await pause(1500);
  return {
    display: { DISPLAY: `:${number}`, XAUTHORITY: join(parts.folder, 'none') },
    port,
    async open({ page }) {
      await page.resize({ width, height });
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      await page.waitForFunction(() => document.title === 'connected');
      return page;
    },
    pids: () => ({ all: parts.pids() }),
    logs: () => parts.logs.join(''),
    async stop() {
      server.close();
      await parts.stop();
    },
  };
}

/** Xpra's desktop and its own HTML5 page, encoding chosen by itself. */
async function xpra({ width, height }) {
  const parts = new Parts('xpra');
  const number = freeNumber();
  const port = 6100 + number;
  parts.start(
    'xpra',
    [
      'start-desktop',
      `:${number}`,
      '--daemon=no',
      `--bind-tcp=127.0.0.1:${port}`,
      '--html=on',
      '--start=openbox',
      '--resize-display=no',
      `--xvfb=Xvfb -screen 0 ${width}x${height}x24 -nolisten tcp -noreset +extension RANDR +extension DAMAGE +extension COMPOSITE`,
      '--pulseaudio=no',
      '--speaker=off',
      '--microphone=off',
      '--mdns=no',
      '--notifications=no',
      '--bell=no',
      '--webcam=no',
      '--dbus-launch=',
      '--dbus-control=no',
      '--system-tray=no',
      '--printing=no',
      '--file-transfer=off',
    ],
    { XDG_RUNTIME_DIR: parts.folder, HOME: parts.folder },
  );
  await eventually(
    'Xpra serves its page',
    async () => (await fetch(`http://127.0.0.1:${port}/`)).ok,
    30_000,
  ).catch((error) => {
    throw new Error(`${error}\n${parts.logs.join('')}`);
  });
  await pause(1500);
  return {
    display: { DISPLAY: `:${number}`, XAUTHORITY: join(parts.folder, '.Xauthority') },
    port,
    async open({ page }) {
      await page.resize({ width, height });
      await page.goto(`http://127.0.0.1:${port}/index.html?sound=false&floating_menu=false`);
      return page;
    },
    pids: () => ({ all: parts.pids() }),
    logs: () => parts.logs.join(''),
    stop: () => parts.stop(),
  };
}

/** Selkies with pixelflux over a WebSocket, its default encoder and rate. */
async function selkies({ width, height }, { venv }) {
  const parts = new Parts('selkies');
  const number = freeNumber();
  const port = 6100 + number;
  await xvfb(parts, number, { width, height });
  parts.start(
    join(venv, 'bin/selkies'),
    [
      '--addr',
      '127.0.0.1',
      '--port',
      String(port),
      '--enable-https',
      'false',
      '--enable-basic-auth',
      'false',
      '--audio-enabled',
      'false',
      '--microphone-enabled',
      'false',
      '--gamepad-enabled',
      'false',
      '--enable-resize',
      'false',
      '--manual-resolution',
      'true',
      '--manual-width',
      String(width),
      '--manual-height',
      String(height),
    ],
    { DISPLAY: `:${number}`, XDG_RUNTIME_DIR: parts.folder, HOME: parts.folder },
  );
  await eventually(
    'Selkies serves its page',
    async () => (await fetch(`http://127.0.0.1:${port}/`)).ok,
    30_000,
  ).catch((error) => {
    throw new Error(`${error}\n${parts.logs.join('')}`);
  });
  await pause(1500);
  return {
    display: { DISPLAY: `:${number}`, XAUTHORITY: join(parts.folder, 'none') },
    port,
    async open({ page }) {
      await page.resize({ width, height: height + 120 });
      await page.goto(`http://127.0.0.1:${port}/`);
      return page;
    },
    pids: () => ({ all: parts.pids() }),
    logs: () => parts.logs.join(''),
    stop: () => parts.stop(),
  };
}

/** The versions that the figures are of. */
const selkiesVersions = ['selkies==2.1.0', 'pixelflux==2.2.1'];

export const products = { beamdesk, novnc, xpra, selkies };

/** Installs what the peers need and cannot come with the system's packages; says why one cannot be run. */
export function peerTools(wanted, folder) {
  const venv = join(folder, 'selkies');
  if (wanted.includes('selkies') && !existsSync(join(venv, 'bin/selkies'))) {
    console.log('Installing Selkies from PyPI into .tools/selkies (some minutes)');
    const options = { stdio: 'inherit', timeout: 600_000 };
    execFileSync('/usr/bin/python3', ['-m', 'venv', venv], options);
    execFileSync(join(venv, 'bin/pip'), ['install', '-q', ...selkiesVersions], options);
  }
  return { venv };
}
