// Draw to canvas and bytes sent, ours and noVNC with TigerVNC, in one run on one machine.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { dirname, extname, join } from 'node:path';
import { Api } from '../e2e/api.mjs';
import { connect, connectHere, loggedIn, ready } from '../e2e/desktop.mjs';
import { System, browser, eventually, password } from '../e2e/system.mjs';

const rounds = 3;
const changes = 140;
const types = {
  '.js': 'text/javascript',
  '.html': 'text/html',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};

/** TigerVNC behind websockify, and a page with noVNC's own client. */
async function peer(folder) {
  const novnc = join(dirname(fileURLToPath(import.meta.url)), '../node_modules/@novnc/novnc');
  const children = [];
  const start = (program, args) => {
    const child = spawn(program, args, { stdio: 'ignore' });
    children.push(child);
    return child;
  };
  let number = 400;
  while (existsSync(`/tmp/.X11-unix/X${number}`)) number++;
  const rfb = 5900 + number;
  start('Xtigervnc', [
    `:${number}`,
    '-geometry',
    '1920x1080',
    '-depth',
    '24',
    '-SecurityTypes',
    'None',
    '-localhost',
    '-rfbport',
    String(rfb),
  ]);
  await eventually('Xtigervnc is up', () => existsSync(`/tmp/.X11-unix/X${number}`));
  const ws = 6100 + number;
  start('websockify', [`127.0.0.1:${ws}`, `127.0.0.1:${rfb}`]);
  const html = `<!doctype html><meta charset=utf-8><style>html,body,#s{margin:0;height:100%}</style><div id=s></div>
<script type=module>import RFB from '/core/rfb.js';
const rfb=new RFB(document.getElementById('s'),'ws://127.0.0.1:${ws}');rfb.scaleViewport=false;rfb.clipViewport=false;
rfb.addEventListener('connect',()=>document.title='connected');</script>`;
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (path === '/') return void response.setHeader('Content-Type', 'text/html').end(html);
    const file = join(novnc, path);
    if (!file.startsWith(novnc) || !existsSync(file)) return void response.writeHead(404).end();
    response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
    createReadStream(file).pipe(response);
  }).listen(0, '127.0.0.1');
  await eventually('the page server listens', () => server.address());
  await new Promise((wake) => setTimeout(wake, 1500));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    display: { DISPLAY: `:${number}`, XAUTHORITY: join(folder, 'none') },
    stop: () => {
      server.close();
      for (const child of children) child.kill();
    },
  };
}

/** One run of the latency probe. */
async function glass(tool, bin, { url, display, setup }) {
  const args = [
    join(tool, 'glass.py'),
    '--bin',
    bin,
    '--url',
    url,
    '--display',
    display.DISPLAY,
    '--count',
    String(changes),
    '--xy',
    '600,400',
    '--settle',
    '4',
  ];
  if (existsSync(display.XAUTHORITY)) args.push('--xauthority', display.XAUTHORITY);
  if (setup) args.push('--setup', setup);
  // Not the blocking call: this process also serves the peer's page.
  const { stdout } = await promisify(execFile)('python3', args, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout);
}

/** Bytes that WebSockets bring to the page while `work` goes on. */
async function bytes(page, open, work) {
  let total = 0;
  page.on('websocket', (socket) => {
    socket.on('framereceived', ({ payload }) => (total += payload.length));
  });
  await open();
  await new Promise((wake) => setTimeout(wake, 3000));
  const before = total;
  await work();
  await new Promise((wake) => setTimeout(wake, 1500));
  return total - before;
}

/** A terminal that scrolls through a listing, and a document that is paged through. */
const cases = {
  async terminal(env, folder) {
    const script = join(folder, 'scroll.sh');
    writeFileSync(
      script,
      'n=0; head -n 400 /usr/share/common-licenses/GPL-3 | while IFS= read -r l; do n=$((n+1)); echo "$n $l"; sleep 0.02; done; sleep 1\n',
    );
    const program = spawn(
      'xterm',
      ['-fa', 'DejaVu Sans Mono', '-fs', '11', '-geometry', '120x50+200+100', '-e', 'sh', script],
      { env, stdio: 'ignore' },
    );
    await new Promise((done) => program.once('exit', done));
  },
  async document(env) {
    const program = spawn('mousepad', ['--disable-server', '/usr/share/common-licenses/GPL-3'], {
      env: { ...env, GTK_THEME: 'Adwaita', HOME: '/tmp' },
      stdio: 'ignore',
    });
    const xdotool = (...args) => execFileSync('xdotool', args, { env });
    await new Promise((wake) => setTimeout(wake, 3000));
    const window = xdotool('search', '--onlyvisible', '--class', 'mousepad')
      .toString()
      .trim()
      .split('\n')[0];
    xdotool(
      'windowmove',
      window,
      '150',
      '80',
      'windowsize',
      window,
      '1000',
      '850',
      'windowfocus',
      window,
    );
    await new Promise((wake) => setTimeout(wake, 1000));
    for (let page = 0; page < 20; page++) {
      xdotool('key', '--window', window, 'Next');
      await new Promise((wake) => setTimeout(wake, 300));
    }
    program.kill();
  },
};

export async function bench({ figure, tool }) {
  if (!tool || !existsSync(join(tool, 'glass.py')))
    throw new Error('--tool: the folder of glass.py is needed');
  const folder = mkdtempSync(join(tmpdir(), 'beamdesk-glass-'));
  execFileSync('cc', ['-O2', '-o', join(folder, 'mark'), join(tool, 'mark.c'), '-lX11', '-lXext']);
  const system = await System.start();
  const novnc = await peer(folder);
  try {
    const api = new Api(system.portal);
    await api.setUp(system);
    const { id } = await api.create();
    await ready(api, id);
    const setup = `(async () => {
      const answer = await fetch('/api/v1/session', { method: 'POST', headers: { 'X-Beamdesk': '1', 'Content-Type': 'application/json' }, body: ${JSON.stringify(JSON.stringify({ name: 'ada', password }))} });
      if (!answer.ok) throw new Error('login ' + answer.status);
      await (${connectHere.toString()})(${JSON.stringify(id)});
    })()`;
    const ours = { url: `${system.portal}/login`, display: system.display(), setup };

    for (const [name, product] of Object.entries({ beamdesk: ours, novnc })) {
      const measured = [];
      for (let round = 0; round < rounds; round++)
        measured.push(await glass(tool, folder, product));
      for (const of of ['p50', 'p99']) {
        figure(
          `glass.${name}.draw_${of}`,
          'ms',
          measured.map((result) => result.draw_to_glass_ms[of]),
        );
      }
      figure(
        `glass.${name}.seen`,
        '%',
        measured.map((result) => (100 * result.seen) / result.drawn),
      );
    }

    system.setup_link = null;
    for (const [name, work] of Object.entries(cases)) {
      for (const [product, display] of [
        ['beamdesk', ours.display],
        ['novnc', novnc.display],
      ]) {
        const { chrome, context } = await browser({ viewport: { width: 1920, height: 1080 } });
        const { page } =
          product === 'beamdesk'
            ? await loggedIn(system, context)
            : { page: await context.newPage() };
        const open = () => (product === 'beamdesk' ? connect(page, id) : page.goto(novnc.url));
        const sent = await bytes(page, open, () => work({ ...process.env, ...display }, folder));
        figure(`glass.${product}.${name}_bytes`, 'bytes', [sent]);
        await chrome.close();
      }
    }
  } finally {
    novnc.stop();
    await system.end();
    rmSync(folder, { recursive: true });
  }
}
