// A Chromium of its own for each measurement, driven by bare DevTools commands. Test drivers switch on DevTools'
// network log, which sends every WebSocket payload through the browser process to the driver: a cost of some tenths of
// a core and a wait of its own for each message, the more the more bytes a product sends. Here no domain is enabled.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../e2e/system.mjs';
import { family, pause } from './tools.mjs';

/** A loaded machine starts a browser in some seconds. */
const start_ms = 30_000;
/** How long a page may take to become what is asked of it, where nothing else is said. */
const wait_ms = 20_000;
/** How long it may take to end by itself. */
const end_ms = 3000;

const flags = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  // What test drivers add, as far as it matters to a page: nothing of the browser's own beside it, never throttled,
  // and colours as they are.
  '--no-default-browser-check',
  '--disable-default-apps',
  '--disable-extensions',
  '--disable-component-extensions-with-background-pages',
  '--disable-breakpad',
  '--disable-search-engine-choice-screen',
  '--disable-field-trial-config',
  '--disable-features=Translate,MediaRouter,OptimizationHints',
  '--metrics-recording-only',
  '--password-store=basic',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--force-color-profile=srgb',
  '--hide-scrollbars',
  '--mute-audio',
];

export class Chromium {
  /** With one blank page; `line` stands between it and the port that the line comes from. */
  static async start({ width, height }, line) {
    const chromium = new Chromium();
    chromium.folder = mkdtempSync(join(tmpdir(), 'beamdesk-bench-chromium-'));
    const rules = ['127.0.0.1', 'localhost']
      .map((host) => line && `MAP ${host}:${line.from} 127.0.0.1:${line.port}`)
      .join(',');
    const args = [
      ...flags,
      '--remote-debugging-port=0',
      `--user-data-dir=${chromium.folder}`,
      `--window-size=${width},${height}`,
      ...(line ? [`--host-resolver-rules=${rules}`] : []),
      'about:blank',
    ];
    chromium.process = spawn(process.env.CHROMIUM ?? '/usr/bin/chromium', args, {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    chromium.atExit = () => chromium.kill(chromium.pids());
    process.once('exit', chromium.atExit);
    try {
      const port = await chromium.listening();
      const { webSocketDebuggerUrl } = await eventually('the browser has a page', async () => {
        const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
        return targets.find(({ type }) => type === 'page');
      });
      chromium.page = await Page.attach(webSocketDebuggerUrl);
      await chromium.page.resize({ width, height });
      return chromium;
    } catch (error) {
      await chromium.close();
      throw error;
    }
  }

  /** The port that it says it takes commands at. */
  listening() {
    return new Promise((done, failed) => {
      let said = '';
      const fail = (why) => failed(new Error(`Chromium ${why}: ${said.slice(-2000)}`));
      const timer = setTimeout(() => fail('does not start'), start_ms);
      this.process.once('error', failed);
      this.process.once('exit', (code) => fail(`ended (${code})`));
      const listen = (text) => {
        said += text;
        const port = /DevTools listening on ws:\/\/[^:]+:(\d+)\//.exec(said)?.[1];
        if (!port) return;
        clearTimeout(timer);
        this.process.stderr.off('data', listen);
        // Thrown away from here on; a full pipe would stop the browser.
        this.process.stderr.resume();
        done(Number(port));
      };
      this.process.stderr.on('data', listen);
    });
  }

  /** The one page there is, as `loggedIn` asks for it. */
  newPage() {
    return this.page;
  }

  pids() {
    return this.process.pid ? family(this.process.pid) : [];
  }

  async close() {
    const pids = this.pids();
    this.page?.detach();
    const running = this.process.exitCode === null && this.process.signalCode === null;
    if (this.process.pid && running) {
      const ended = new Promise((done) => this.process.once('exit', done));
      this.process.kill();
      await Promise.race([ended, pause(end_ms)]);
    }
    process.off('exit', this.atExit);
    this.kill(pids);
  }

  kill(pids) {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        continue; // Ended by itself.
      }
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** One page, with those of a test driver's calls that the pages here need, under the same names. */
export class Page {
  static async attach(url) {
    const page = new Page();
    page.socket = new WebSocket(url);
    page.waiting = new Map();
    page.last = 0;
    page.socket.addEventListener('message', ({ data }) => {
      const { id, result, error } = JSON.parse(data);
      const waiting = page.waiting.get(id);
      page.waiting.delete(id);
      if (error) waiting?.failed(new Error(error.message));
      else waiting?.done(result);
    });
    page.socket.addEventListener('close', () => {
      page.closed = new Error('the browser has been closed');
      for (const { failed } of page.waiting.values()) failed(page.closed);
      page.waiting.clear();
    });
    await new Promise((done, failed) => {
      page.socket.addEventListener('open', done);
      page.socket.addEventListener('error', () => failed(new Error(`no page at ${url}`)));
    });
    return page;
  }

  detach() {
    this.socket.close();
  }

  send(method, params) {
    if (this.closed) return Promise.reject(this.closed);
    const id = ++this.last;
    return new Promise((done, failed) => {
      this.waiting.set(id, { done, failed });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** What a function gives in the page; it may not use anything from outside. */
  async evaluate(work, argument) {
    const text = `(${work})(${JSON.stringify(argument)})`;
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression: text,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) {
      const { text: what, exception } = exceptionDetails;
      throw new Error(`in the page: ${exception?.description ?? exception?.value ?? what}`);
    }
    return result.value;
  }

  /** Again until it gives something true; also over the loading of another page. */
  async waitForFunction(probe, argument, { timeout = wait_ms } = {}) {
    return await eventually(probe.toString(), () => this.evaluate(probe, argument), timeout);
  }

  async goto(url) {
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.waitForFunction(
      () => location.href !== 'about:blank' && document.readyState === 'complete',
    );
  }

  /** The page's room, whatever the window's own borders take. */
  async resize({ width, height }) {
    await this.send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
  }
}
