/** The contrast that a user chose stays where it should, and only there. */
import { beforeEach, describe, expect, it } from 'vitest';

import type { SliceAt } from '../../src/stream/slices';
import { Layers } from '../../src/viewer/layers.svelte';

const at: SliceAt = {
  rect: { x: 0, y: 0, width: 4, height: 4 },
  columns: 2,
  rows: 2,
  window: 400,
  level: 40,
  offset: -1024,
};

describe('layers', () => {
  let layers: Layers;
  const show = (place: number, other: Partial<SliceAt> = {}) => {
    const values = Uint16Array.from([7, 1, 9, 3]);
    layers.take({ kind: 'values', place, at: { ...at, ...other }, values, isExact: true });
  };
  const contrast = (place: number) => layers.of(place)?.contrast;

  beforeEach(() => {
    layers = new Layers();
    show(1);
  });

  it('begin as the program wants, and know their range', () => {
    expect(contrast(1)).toEqual({ window: 400, level: 40 });
    expect(layers.of(1)?.range).toEqual({ lowest: 1, highest: 9 });
    layers.take({ kind: 'move', place: 1, at: { ...at, level: 50 } });
    expect(contrast(1)).toEqual({ window: 400, level: 50 });
  });

  it('keep what the user chose while the program pages and moves', () => {
    layers.choose(1, { window: 0.2, level: 5 });
    expect(contrast(1)).toEqual({ window: 1, level: 5 });
    layers.take({ kind: 'coming', place: 1 });
    expect(layers.of(1)?.isComing).toBe(true);
    show(1, { level: 99 });
    layers.take({ kind: 'move', place: 1, at: { ...at, window: 7 } });
    expect(contrast(1)).toEqual({ window: 1, level: 5 });
    expect(layers.of(1)?.isComing).toBe(false);
    layers.reset(1);
    expect(contrast(1)).toEqual({ window: 7, level: 40 });
  });

  it('come back as the user left them, unless it is another program’s', () => {
    layers.choose(1, { window: 10, level: 5 });
    layers.take({ kind: 'hide', place: 1 });
    expect(layers.all).toEqual([]);
    show(1);
    expect(contrast(1)).toEqual({ window: 10, level: 5 });
    layers.take({ kind: 'hide', place: 1 });
    show(1, { window: 1000 });
    expect(contrast(1)).toEqual({ window: 1000, level: 40 });
  });

  it('lie in the order of their places', () => {
    show(3);
    show(0);
    expect(layers.all.map((layer) => layer.place)).toEqual([0, 1, 3]);
    layers.choose(7, { window: 1, level: 1 });
    layers.take({ kind: 'coming', place: 7 });
    layers.take({ kind: 'hide', place: 7 });
    expect(layers.all).toHaveLength(3);
  });
});
