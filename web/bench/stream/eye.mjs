// What runs in a product's page: it finds the picture of the desktop, whatever element shows it, and reads the counter
// in it at the start of each browser frame.

/** Lays `window.eye` into the page. Must work in every product's page, so it uses nothing from outside. */
export function layEye() {
  const BLOCK = 16;
  const BITS = 16;
  const CHECK_BITS = 8;
  const BLOCKS = 2 + BITS + CHECK_BITS;
  const WIDTH = BLOCKS * BLOCK;

  function elements(root = document, found = []) {
    for (const element of root.querySelectorAll('*')) {
      if (element.tagName === 'CANVAS' || element.tagName === 'VIDEO') found.push(element);
      if (element.shadowRoot) elements(element.shadowRoot, found);
    }
    return found;
  }

  const widthOf = (element) => element.videoWidth ?? element.width;
  const heightOf = (element) => element.videoHeight ?? element.height;

  function scratch(width, height) {
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    return canvas.getContext('2d', { willReadFrequently: true });
  }

  /** The number that a line of pixels through the row tells, or -1. */
  function decode(data) {
    let pattern = 0;
    for (let block = 0; block < BLOCKS; block++) {
      const at = 4 * (block * BLOCK + BLOCK / 2);
      const light = 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
      if (light > 96 && light < 160) return -1;
      pattern = pattern * 2 + (light >= 160 ? 1 : 0);
    }
    const gray = (pattern >>> CHECK_BITS) & 0xffff;
    let number = 0;
    for (let rest = gray; rest; rest >>>= 1) number ^= rest;
    const check = Math.imul(number, 0x9e3779b1) >>> (32 - CHECK_BITS);
    return pattern >>> (BITS + CHECK_BITS) === 2 && (pattern & 0xff) === check ? number : -1;
  }

  const line = scratch(WIDTH, 1);
  function readAt(element, x, y) {
    line.drawImage(element, x, y + BLOCK / 2, WIDTH, 1, 0, 0, WIDTH, 1);
    return decode(line.getImageData(0, 0, WIDTH, 1).data);
  }

  let element = null;
  const watched = [];
  let running = false;

  function tick() {
    if (!running) return;
    const now = performance.now();
    for (const row of watched) {
      let number;
      try {
        number = readAt(element, row.x, row.y);
      } catch {
        number = -1;
      }
      row.reads++;
      if (number < 0) row.unreadable++;
      else if (number !== row.last) {
        row.last = number;
        row.seen.push([number, now]);
      }
    }
    requestAnimationFrame(tick);
  }

  function candidates({ width, height, x, y }) {
    return elements().flatMap((candidate) => {
      if (widthOf(candidate) !== width || heightOf(candidate) !== height) return [];
      try {
        const number = readAt(candidate, x, y);
        return number < 0 ? [] : [{ candidate, number }];
      } catch {
        return [];
      }
    });
  }

  let still = null;
  let givesUpAt = Infinity;

  window.eye = {
    /** Whether an element shows a desktop of this size with a row at this place. */
    find(what) {
      return candidates(what).length > 0;
    },
    /** Once the picture has moved: of those that show it, the element that is the farthest. */
    choose(what) {
      const found = candidates(what);
      found.sort((a, b) => b.number - a.number);
      element = found[0].candidate;
      return found.map(({ candidate, number }) => `${candidate.tagName} ${number}`);
    },
    shapes: () => elements().map((one) => `${one.tagName} ${widthOf(one)}x${heightOf(one)}`),
    watch(rows) {
      for (const { x, y } of rows) {
        watched.push({ x, y, last: -1, reads: 0, unreadable: 0, seen: [] });
      }
      running = true;
      requestAnimationFrame(tick);
    },
    take: () =>
      watched.map((row) => {
        const { reads, unreadable, seen } = row;
        Object.assign(row, { reads: 0, unreadable: 0, seen: [] });
        return { reads, unreadable, seen };
      }),
    rest: () => {
      running = false;
    },
    /** What is shown now, with the number that it carries, as base64 of RGBA. */
    async snapshot({ x, y, width, height, across, down }) {
      await new Promise((next) => requestAnimationFrame(next));
      const context = scratch(width, height);
      context.drawImage(element, x, y, width, height, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      const number = decode(data.subarray(((down + BLOCK / 2) * width + across) * 4));
      this.snapshots = [...(this.snapshots ?? []), { number, data }];
      return number;
    },
    async developed() {
      const shot = this.snapshots?.shift();
      if (!shot) return null;
      const url = await new Promise((done) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(new Blob([shot.data]));
      });
      return { number: shot.number, base64: url.slice(url.indexOf(',') + 1) };
    },
    /** Takes a piece of the picture that will stand still at the end. */
    expect({ width, height, from, base64 }) {
      if (from === 0) still = new Uint8ClampedArray(width * height * 4);
      const text = atob(base64);
      for (let index = 0; index < text.length; index++)
        still[from + index] = text.charCodeAt(index);
    },
    giveUpAfter: (ms) => {
      givesUpAt = performance.now() + ms;
    },
    /**
     * Waits until every pixel there is right; the page's time when that was first seen at the start of a browser
     * frame, or -1. Some lines are compared at each frame, and all of it when those are right.
     */
    async exact({ x, y, width, height }) {
      const words = new Uint32Array(still.buffer);
      const some = scratch(width, 1);
      const all = scratch(width, height);
      const lines = [1, 3, 5, 7, 9, 11, 13, 15].map((part) => Math.floor((part * height) / 16));
      const same = (data, offset) => {
        const shown = new Uint32Array(data.buffer);
        for (let index = 0; index < shown.length; index++) {
          if (shown[index] !== words[offset + index]) return false;
        }
        return true;
      };
      for (;;) {
        await new Promise((next) => requestAnimationFrame(next));
        const now = performance.now();
        if (now > givesUpAt) return -1;
        const looksRight = lines.every((down) => {
          some.drawImage(element, x, y + down, width, 1, 0, 0, width, 1);
          return same(some.getImageData(0, 0, width, 1).data, down * width);
        });
        if (!looksRight) continue;
        all.drawImage(element, x, y, width, height, 0, 0, width, height);
        if (same(all.getImageData(0, 0, width, height).data, 0)) return now;
      }
    },
  };
}
