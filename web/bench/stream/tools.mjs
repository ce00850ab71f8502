// The tools that a run is made with: what moves on the desktop, the line to the browser, and what processes cost.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';

const ticks_per_s = 100; // USER_HZ, the same on every Linux of today

export const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** Nanoseconds of the monotonic clock, as a number of milliseconds. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

/** A program that is told something by lines and answers by lines. */
class Talker {
  constructor(program, args, env = {}) {
    this.process = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.name = [program, ...args].join(' ');
    this.said = '';
    this.process.stderr.on('data', (text) => (this.said += text));
    this.waiting = [];
    this.lines = [];
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      const waiting = this.waiting.shift();
      if (waiting) waiting.done(line);
      else this.lines.push(line);
    });
    this.process.stdin.on('error', () => {});
    this.process.once('exit', (code) => {
      this.ended = new Error(`${this.name} ended (${code}): ${this.said}`);
      for (const { failed } of this.waiting.splice(0)) failed(this.ended);
    });
  }

  tell(line) {
    this.process.stdin.write(`${line}\n`);
  }

  next() {
    if (this.lines.length > 0) return Promise.resolve(this.lines.shift());
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((done, failed) => this.waiting.push({ done, failed }));
  }

  stop() {
    this.process.stdin.end();
    this.process.kill();
  }
}

/** Something that moves on a display, drawn beforehand once for all runs. */
export class Movie {
  constructor({ tools, content, width, height, x, y }) {
    Object.assign(this, { tools, content, width, height, x, y });
    const folder = join(tools, '../movie');
    const program = join(tools, 'movie');
    mkdirSync(folder, { recursive: true });
    this.file = join(folder, `${content}-${width}x${height}`);
    this.about = [content, String(width), String(height), this.file];
    const rendered =
      existsSync(this.file) && statSync(this.file).mtimeMs > statSync(program).mtimeMs;
    if (!rendered) {
      const making = `${this.file}.making`;
      execFileSync(program, ['render', content, String(width), String(height), making]);
      renameSync(making, this.file);
    }
  }

  async start(display) {
    const place = [String(this.x), String(this.y)];
    this.player = new Talker(join(this.tools, 'movie'), ['play', ...this.about, ...place], display);
    const [said, across, down] = (await this.player.next()).split(' ');
    if (said !== 'ready') throw new Error(`the movie is not ready: ${said}`);
    /** Where the counter stands, in the movie and on the desktop. */
    this.row = { across: Number(across), down: Number(down) };
    this.counter = { x: this.x + this.row.across, y: this.y + this.row.down };
    this.frames = 0;
    /** When frame n was asked for, in milliseconds of the monotonic clock. */
    this.drawn = new Map();
  }

  /** Shows so many frames; resolves when the last has been drawn. */
  async go(rate, frames) {
    this.player.tell(`go ${rate} ${frames}`);
    this.frames += frames;
    for (;;) {
      const line = await this.player.next();
      if (line === 'end') return;
      const [number, began, done] = line.split(' ').map(Number);
      this.drawn.set(number & 0xffff, { began: began / 1e6, done: done / 1e6 });
    }
  }

  /** One frame's pixels, RGBA. */
  frame(number, to) {
    execFileSync(join(this.tools, 'movie'), ['frame', ...this.about, String(number), to]);
    return readFileSync(to);
  }

  /** How near pictures are to the frames they say they are. */
  judge(shots) {
    const input = shots.map(({ number, path }) => `${number} ${path}\n`).join('');
    const told = execFileSync(join(this.tools, 'movie'), ['judge', ...this.about], { input });
    return told
      .toString()
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line));
  }

  stop() {
    this.player?.stop();
  }
}

/** Rate (Mbit/s), round trip (ms), loss (%) and buffer (ms) of the lines that browsers are put behind. */
export const lines = {
  loopback: null,
  '100m20': { rate: 100, rtt: 20, loss: 0, buffer: 100 },
  '20m80': { rate: 20, rtt: 80, loss: 0, buffer: 100 },
  loss1: { rate: 100, rtt: 20, loss: 1, buffer: 100 },
  // Gets ten times slower in the middle; with a buffer that holds all that a careless sender puts into it.
  step: { rate: 100, rtt: 20, loss: 0, buffer: 1000, then: 10 },
};

export class Line {
  static async start(tools, port, { rate, rtt, loss, buffer }) {
    const line = new Line();
    line.talker = new Talker(join(tools, 'line'), [port, rate, rtt, loss, buffer].map(String));
    line.from = port;
    line.port = Number(await line.talker.next());
    return line;
  }

  /** Longest wait for the line's turn since the last question, in ms, towards the browser, and bytes so far. */
  async ask(what = 'queue') {
    this.talker.tell(what);
    const [, , wait, bytes] = (await this.talker.next()).split(' ').map(Number);
    return { wait: wait / 1000, bytes };
  }

  stop() {
    this.talker.stop();
  }
}

/** A process and all its descendants. */
export function family(pid) {
  const parents = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      continue; // Ended while we looked.
    }
  }
  const found = [pid];
  for (const one of found) {
    for (const [child, parent] of parents) if (parent === one) found.push(child);
  }
  return found;
}

/** CPU seconds that each of these processes has used. */
export function used(pids) {
  const seconds = new Map();
  for (const pid of new Set(pids)) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      seconds.set(pid, (Number(fields[11]) + Number(fields[12])) / ticks_per_s);
    } catch {
      continue; // Ended while we looked.
    }
  }
  return seconds;
}

/** CPU seconds that each thread of these processes has used, under its own name and its program's. */
export function usedByThreads(pids) {
  const seconds = new Map();
  for (const pid of new Set(pids)) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const kind = words.find((word) => word.startsWith('--type='))?.slice('--type='.length);
      const program = words[0].split(' ')[0].split('/').at(-1);
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
        const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const key = `${program}${kind ? ` ${kind}` : ''}: ${name}|${pid}|${thread}`;
        seconds.set(key, (Number(fields[11]) + Number(fields[12])) / ticks_per_s);
      }
    } catch {
      continue; // Ended while we looked.
    }
  }
  return seconds;
}

/** The threads that took the most between two looks, in cores, those of one name together. */
export function busiest(before, after, span_s) {
  const cores = new Map();
  for (const [key, seconds] of after) {
    const name = key.split('|')[0].replace(/#?\d+$/, '');
    const more = (seconds - (before.get(key) ?? 0)) / span_s;
    cores.set(name, (cores.get(name) ?? 0) + more);
  }
  return [...cores]
    .filter(([, value]) => value >= 0.005)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 16)
    .map(([name, value]) => ({ name, cores: Number(value.toFixed(3)) }));
}

/** CPU seconds between two looks; a process that is new counts from its start. */
export function spent(before, after) {
  let sum = 0;
  for (const [pid, seconds] of after) sum += seconds - (before.get(pid) ?? 0);
  return sum;
}

/** Bytes that TCP has sent from this port, as the kernel counts them, connection by connection. */
export function sentFrom(port) {
  const told = execFileSync('ss', ['-tinOH', `sport = :${port}`], { encoding: 'utf8' });
  const sums = new Map();
  for (const line of told.trim().split('\n')) {
    const bytes = /bytes_sent:(\d+)/.exec(line);
    if (bytes) sums.set(line.trim().split(/\s+/).slice(3, 5).join('>'), Number(bytes[1]));
  }
  return sums;
}
