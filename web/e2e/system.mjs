// A whole system for one test: `beamdesk up` with its own data folder and free ports, and a Chromium.
import { spawn, execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const binaries = process.env.BEAMDESK_BIN ?? join(root, 'target/debug');
export const password = 'correct horse battery';

/** Waits until `probe` gives something true, at most `ms`; then says what was awaited. */
export async function eventually(what, probe, ms = 20_000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end)
      throw new Error(`not within ${ms} ms: ${what}${last ? ` (${last})` : ''}`);
    await new Promise((wake) => setTimeout(wake, 25));
  }
}

export class System {
  /** Starts on a fresh or a given data folder. */
  static async start({
    data = mkdtempSync(join(tmpdir(), 'beamdesk-e2e-')),
    args = [],
    listen = '127.0.0.1',
    monitorPort = 0,
  } = {}) {
    const system = new System();
    system.data = data;
    system.args = args;
    system.listen = listen;
    system.monitorPort = monitorPort;
    await system.up();
    return system;
  }

  async up() {
    const ready = join(this.data, 'ready.json');
    rmSync(ready, { force: true });
    const ports = this.ports ?? { http: 0, https: 0, gatewayHttp: 0, gatewayHttps: 0 };
    this.log = '';
    this.process = spawn(
      join(binaries, 'beamdesk'),
      [
        'up',
        '--data',
        this.data,
        '--ready-file',
        ready,
        '--listen',
        this.listen,
        '--http-port',
        ports.http,
        '--https-port',
        ports.https,
        '--gateway-http-port',
        ports.gatewayHttp,
        '--gateway-https-port',
        ports.gatewayHttps,
        '--monitor-port',
        this.monitorPort,
        '--monitor-interval',
        1,
        ...this.args,
      ].map(String),
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.exited = new Promise((done) =>
      this.process.once('exit', (code, signal) => done({ code, signal })),
    );
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (text) => (this.log += text));
    }
    const early = this.exited.then(({ code }) => {
      throw new Error(`beamdesk up ended (${code}):\n${this.log}`);
    });
    early.catch(() => {});
    const about = await Promise.race([
      early,
      eventually(
        'beamdesk up is ready',
        () => existsSync(ready) && JSON.parse(readFileSync(ready, 'utf8')),
        30_000,
      ),
    ]);
    Object.assign(this, about); // portal, portal_https, gateway, gateway_https, setup_link
    const port = (url) => Number(new URL(url).port);
    this.ports = {
      http: port(this.portal),
      https: port(this.portal_https),
      gatewayHttp: port(this.gateway),
      gatewayHttps: port(this.gateway_https),
    };
  }

  /** Ends as Ctrl-C does, and waits. */
  async down(signal = 'SIGINT') {
    this.process.kill(signal);
    return await this.exited;
  }

  async end() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.down();
    for (const child of this.children ?? []) child.kill();
    for (const link of this.links ?? []) rmSync(link, { force: true });
    rmSync(this.data, { recursive: true, force: true });
  }

  /**
   * The X display of this system's only running desktop, reachable from outside its sandbox: a link to its
   * socket under a free display number, and its cookie under that number.
   */
  display() {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      let program, line;
      try {
        program = readlinkSync(`/proc/${pid}/exe`);
        line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      } catch {
        continue;
      }
      if (!program.endsWith('/Xvfb') || !this.owns(pid)) continue;
      const inside = `/proc/${pid}/root`;
      const socket = readdirSync(`${inside}/tmp/.X11-unix`)[0];
      const auth = inside + line[line.indexOf('-auth') + 1];
      const cookie = execFileSync('xauth', ['-i', '-f', auth, 'list'], { encoding: 'utf8' })
        .trim()
        .split(/\s+/)
        .at(-1);
      mkdirSync('/tmp/.X11-unix', { recursive: true, mode: 0o1777 });
      let number = 300;
      while (existsSync(`/tmp/.X11-unix/X${number}`)) number++;
      const link = `/tmp/.X11-unix/X${number}`;
      rmSync(link, { force: true });
      symlinkSync(`${inside}/tmp/.X11-unix/${socket}`, link);
      this.links = [...(this.links ?? []), link];
      const XAUTHORITY = join(this.data, `xauthority-${number}`);
      writeFileSync(XAUTHORITY, '');
      execFileSync('xauth', [
        '-q',
        '-f',
        XAUTHORITY,
        'add',
        `:${number}`,
        'MIT-MAGIC-COOKIE-1',
        cookie,
      ]);
      return { DISPLAY: `:${number}`, XAUTHORITY };
    }
    return undefined;
  }

  /** Starts a program on a desktop's display, until the system ends. */
  spawnIn(display, program, args) {
    const child = spawn(program, args, { env: { ...process.env, ...display }, stdio: 'ignore' });
    this.children = [...(this.children ?? []), child];
    return child;
  }

  /** Processes of this system's desktops that run a program of this name. */
  processes(name) {
    return this.belongings().filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/exe`).endsWith(`/${name}`);
      } catch {
        return false;
      }
    });
  }

  /** All processes that this system started, also when their parents have died meanwhile. */
  belongings() {
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== this.process.pid)
      .filter((pid) => this.owns(pid))
      .map(Number);
  }

  /** The mark that the sandbox driver puts on everything it starts. */
  mark() {
    const file = join(this.data, 'sandboxes/.deployment');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
  }

  owns(pid) {
    const mark = this.mark();
    if (mark === undefined) return false;
    try {
      const told =
        readFileSync(`/proc/${pid}/cmdline`, 'utf8') + readFileSync(`/proc/${pid}/environ`, 'utf8');
      if (told.includes(mark)) return true;
      // A supervisor holds its desktop's lock.
      return readdirSync(`/proc/${pid}/fd`).some((fd) =>
        readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(join(this.data, 'sandboxes/')),
      );
    } catch {
      return false; // Ended while we looked.
    }
  }
}

export async function browser({
  language = 'en',
  dark = false,
  viewport = { width: 1280, height: 800 },
} = {}) {
  const chrome = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const context = await chrome.newContext({
    viewport,
    ignoreHTTPSErrors: true,
    locale: language === 'zh' ? 'zh-CN' : 'en-GB',
    colorScheme: dark ? 'dark' : 'light',
  });
  context.setDefaultTimeout(10_000);
  return { chrome, context };
}

/** The X server's whole picture as RGB bytes. */
export function xPicture(display) {
  const xwd = execFileSync('xwd', ['-silent', '-root'], {
    env: { ...process.env, ...display },
    maxBuffer: 1 << 28,
  });
  const word = (n) => xwd.readUInt32BE(4 * n);
  const [header, width, height, stride, colours] = [word(0), word(4), word(5), word(12), word(19)];
  const bigEndian = word(7) === 1;
  const from = header + colours * 12;
  const rgb = Buffer.alloc(width * height * 3);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, o += 3) {
      const p = from + y * stride + x * 4;
      rgb[o] = xwd[bigEndian ? p + 1 : p + 2];
      rgb[o + 1] = xwd[bigEndian ? p + 2 : p + 1];
      rgb[o + 2] = xwd[bigEndian ? p + 3 : p];
    }
  }
  return { width, height, rgb };
}

/** The canvas's whole picture as RGB bytes. */
export async function canvasPicture(page) {
  const { width, height, base64 } = await page.evaluate(async () => {
    const canvas = document.querySelector('#picture');
    const { data } = await window.beamdesk.pixels(0, 0, canvas.width, canvas.height);
    const rgb = new Uint8Array((data.length / 4) * 3);
    for (let i = 0, o = 0; i < data.length; i += 4) {
      rgb[o++] = data[i];
      rgb[o++] = data[i + 1];
      rgb[o++] = data[i + 2];
    }
    const url = await new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.readAsDataURL(new Blob([rgb]));
    });
    return { width: canvas.width, height: canvas.height, base64: url.slice(url.indexOf(',') + 1) };
  });
  return { width, height, rgb: Buffer.from(base64, 'base64') };
}
