// Over the whole path: whatever moves, and by whatever way it was sent, at rest every pixel is the X server's.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { connect, connectHere, exact, loggedIn, ready } from './desktop.mjs';
import { System, binaries, browser, canvasPicture, xPicture } from './system.mjs';

const seconds = Number(process.env.BEAMDESK_MOTION_SECONDS ?? 60);
const seed = Number(process.env.BEAMDESK_MOTION_SEED ?? 11);
/** From rest to exact, on two cores that agent, browser and a debug build share. */
const exact_ms = 2000;
let system, chrome, context, page, display, id, api;
const programs = [];
const others = [];

before(async () => {
  system = await System.start();
  const opened = await browser({ viewport: { width: 1600, height: 1000 } });
  chrome = opened.chrome;
  context = opened.context;
  ({ api, page } = await loggedIn(system, context));
  system.setup_link = null; // Used up: the next browser logs in.
  ({ id } = await api.create());
  await ready(api, id);
  await connect(page, id);
  display = system.display();
});
after(async () => {
  for (const program of programs) program.kill();
  for (const other of others) await other.close();
  await chrome?.close();
  await system?.end();
});

/** Moves and rests at random; `next()` gives the act that has just come to rest, null at the end. */
function mixture(for_s, with_seed) {
  const program = spawn(join(binaries, 'examples/mixture'), [String(for_s), String(with_seed)], {
    env: { ...process.env, ...display },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  programs.push(program);
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await lines.next();
      return done || value === 'done' ? null : value;
    },
    go: () => program.stdin.write('\n'),
    end: () => program.kill(),
  };
}

/** Pixels that differ; null when the X server itself did not rest (the panel's clock, say). */
async function difference(of = page) {
  const before = xPicture(display);
  const shown = await canvasPicture(of);
  if (!before.rgb.equals(xPicture(display).rgb)) return null;
  assert.deepEqual([shown.width, shown.height], [before.width, before.height]);
  let pixels = 0;
  for (let i = 0; i < before.rgb.length; i += 3) {
    if (before.rgb.compare(shown.rgb, i, i + 3, i, i + 3) !== 0) pixels++;
  }
  return pixels;
}

const look = (of = page) =>
  of.evaluate(() => ({
    exact: window.beamdesk.exact,
    state: window.beamdesk.state,
    video: window.beamdesk.numbers.videoFrames,
    decodes: window.beamdesk.decodes,
  }));

test(`for ${seconds} s, each rest is exact in time, pixel for pixel`, async () => {
  const moving = mixture(seconds, seed);
  const times = [];
  let compared = 0;
  for (let act = await moving.next(); act !== null; act = await moving.next()) {
    const from = performance.now();
    await exact(page, 15_000);
    times.push({ act, ms: performance.now() - from });
    const pixels = await difference();
    if (pixels !== null) {
      compared++;
      assert.equal(pixels, 0, `after ${act}: ${pixels} pixels differ`);
    }
    moving.go();
  }
  const { video } = await look();
  console.log(
    `${times.length} rests, ${compared} compared, ${video} video frames, slowest`,
    Math.round(Math.max(...times.map(({ ms }) => ms))),
    'ms',
  );
  assert.ok(video > 0, 'some of it went as video');
  assert.ok(compared >= times.length / 2, 'the display rested often enough to compare');
  const slow = times.filter(({ ms }) => ms > exact_ms);
  assert.deepEqual(slow, []);
});

/** A second browser, changed before its pages start. */
async function spoiled(change) {
  const opened = await browser({ viewport: { width: 1600, height: 1000 } });
  others.push(opened.chrome);
  await opened.context.addInitScript(change);
  const { page: other } = await loggedIn(system, opened.context);
  await Promise.all([other.waitForURL(/\/d\//), other.evaluate(connectHere, id)]);
  await other.waitForFunction(() => window.beamdesk?.link === 'open', undefined, {
    timeout: 20_000,
  });
  return { other, close: () => opened.chrome.close() };
}

/** Whether a viewer ever says exact while its canvas is not the X server's picture. */
async function lies(other, for_s) {
  const moving = mixture(for_s, seed);
  let wrong = 0;
  let claimed = 0;
  for (let act = await moving.next(); act !== null; act = await moving.next()) {
    await new Promise((wake) => setTimeout(wake, exact_ms));
    const pixels = await difference(other);
    const { exact: says } = await look(other);
    if (pixels > 0) {
      wrong++;
      if (says) claimed++;
    }
    moving.go();
  }
  moving.end();
  return { wrong, claimed };
}

test('a browser that ignores the mask is caught', async () => {
  const { other, close } = await spoiled(() => {
    window.spoiled = 0;
    window.states = new Set();
    setInterval(() => window.states.add(window.beamdesk?.state), 10);
    // Video paints a tile that it was not allowed to.
    const spoil = (context) => {
      window.spoiled++;
      context.fillStyle = 'rgb(1 2 3)';
      context.fillRect(5, 5, 2, 2);
    };
    const { putImageData, drawImage, restore } = CanvasRenderingContext2D.prototype;
    let isVideo = false;
    Object.assign(CanvasRenderingContext2D.prototype, {
      putImageData(...args) {
        putImageData.apply(this, args);
        if (args.length === 7 && args[0].width < this.canvas.width) spoil(this);
      },
      drawImage(...args) {
        drawImage.apply(this, args);
        isVideo = args[0] instanceof VideoFrame && this.canvas.id === 'picture';
      },
      restore() {
        restore.call(this);
        if (isVideo) spoil(this);
        isVideo = false;
      },
    });
  });
  const { claimed } = await lies(other, 6);
  assert.equal(claimed, 0, 'it never says exact while it is not');
  const { spoiled: times, states } = await other.evaluate(() => ({
    spoiled: window.spoiled,
    states: [...window.states],
  }));
  assert.ok(times > 0, 'a tile was really painted over');
  assert.ok(states.includes('broken'), states.join());
  await close();
});

test('a browser that takes full range for limited is not given video', async () => {
  const { other, close } = await spoiled(() => {
    delete window.Worker; // So that all of it runs where this script does.
    const stretch = (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = ((bytes[i] - 16) * 255) / 219;
    };
    const { copyTo } = VideoFrame.prototype;
    VideoFrame.prototype.copyTo = async function (to, options) {
      const layout = await copyTo.call(this, to, options);
      stretch(new Uint8ClampedArray(to.buffer ?? to));
      return layout;
    };
    const { prototype } = OffscreenCanvasRenderingContext2D;
    const { drawImage } = prototype;
    prototype.drawImage = function (image, ...rest) {
      drawImage.call(this, image, ...rest);
      if (!(image instanceof VideoFrame)) return;
      const drawn = this.getImageData(0, 0, this.canvas.width, this.canvas.height);
      stretch(drawn.data);
      this.putImageData(drawn, 0, 0);
    };
  });
  await exact(other);
  const honest = await look(page);
  const fooled = await look(other);
  assert.ok(honest.decodes.includes('h264'), honest.decodes.join());
  assert.deepEqual(fooled.decodes, []);
  await close();
});

test('one stale tile takes the badge away', async () => {
  const { other, close } = await spoiled(() => {
    const { putImageData: put } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.putImageData = function (...args) {
      const kept = this.getImageData(640, 320, 64, 64);
      put.apply(this, args);
      put.call(this, kept, 640, 320); // This tile stays as it was first.
    };
  });
  const { claimed } = await lies(other, 6);
  assert.equal(claimed, 0);
  await close();
});
