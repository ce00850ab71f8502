/** Where things lie in weeks, lines and plots. */
import { describe, expect, it } from 'vitest';

import { fromField, hourOf, lanes, placeIn, toField, weekOf } from '../src/pages/admin/week';
import { bounds, ticks } from '../src/ui/plot';
import { spark } from '../src/ui/spark';

const HOUR = 3_600_000;

describe('a week', () => {
  const at = new Date(2026, 2, 4, 15, 30).getTime();
  const week = weekOf(at);

  it('begins on Monday, at midnight, wherever the reader is', () => {
    const days = week.map((day) => new Date(day));
    expect(days.map((day) => day.getDay())).toEqual([1, 2, 3, 4, 5, 6, 0, 1]);
    expect(days.every((day) => day.getHours() === 0)).toBe(true);
    expect(weekOf(new Date(2026, 2, 8, 23, 59).getTime())).toEqual(week);
    expect(weekOf(at, 1)[0]).toBe(week[7]);
    expect(weekOf(at, -1)[7]).toBe(week[0]);
  });

  it('knows where a moment lies, also when a clock was changed', () => {
    expect(placeIn(week, week[0] ?? 0)).toBe(0);
    expect(placeIn(week, (week[3] ?? 0) + 12 * HOUR)).toBeCloseTo(3.5 / 7, 9);
    expect(placeIn(week, at - 30 * 24 * HOUR)).toBe(0);
    expect(placeIn(week, at + 30 * 24 * HOUR)).toBe(1);
    // A day of 23 hours is as wide as any.
    const short = week.map((day, index) => (index > 6 ? day - HOUR : day));
    expect(placeIn(short, (short[6] ?? 0) + 11.5 * HOUR)).toBeCloseTo(6.5 / 7, 9);
  });

  it('lays what overlaps into rows of its own', () => {
    const span = (from: number, to: number) => ({
      from: new Date((week[0] ?? 0) + from * HOUR).toISOString(),
      to: new Date((week[0] ?? 0) + to * HOUR).toISOString(),
    });
    const [a, b, c, outside] = [span(5, 20), span(1, 10), span(10, 12), span(-9, 0)];
    expect(lanes(week, [a, b, c, outside])).toEqual([[b, c], [a]]);
    expect(lanes(week, [])).toEqual([]);
  });

  it('reads what its fields write', () => {
    const minute = Math.floor(at / 60_000) * 60_000;
    expect(fromField(toField(minute))).toBe(minute);
    expect(fromField('')).toBeNull();
    expect(fromField('soon')).toBeNull();
    expect(toField(hourOf(at, 8, 1))).toBe('2026-03-05T08:00');
  });
});

describe('a small line', () => {
  const frame = { from: 0, to: 100, top: 10, gap: 30, width: 200, height: 50 };

  it('is broken where nothing was told', () => {
    const points = [0, 20, 80, 100].map((at) => ({ at, value: at / 10 }));
    const { line, area } = spark(points, frame);
    expect(line).toBe('M0 50L40 40M160 10L200 0');
    expect(area).toBe('M0 50L0 50L40 40L40 50ZM160 50L160 10L200 0L200 50Z');
  });

  it('stays in its frame, whatever it is told', () => {
    const wild = spark(
      [
        { at: 0, value: -5 },
        { at: 10, value: 1e9 },
      ],
      frame,
    );
    expect(wild.line).toBe('M0 50L20 0');
    expect(spark([], frame)).toEqual({ line: '', area: '' });
    expect(spark([{ at: 50, value: 5 }], { ...frame, top: 0 }).line).toBe('M100 50L101 50');
  });
});

describe('a plot', () => {
  it('is marked at round numbers', () => {
    expect(ticks(0, 100)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(ticks(93.2, 95.9)).toEqual([93.5, 94, 94.5, 95, 95.5]);
    expect(ticks(0, 0.3)).toEqual([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]);
    expect(ticks(5, 5)).toEqual([]);
    expect(ticks(0, Infinity)).toEqual([]);
  });

  it('always has an extent', () => {
    expect(bounds([])).toEqual({ left: 0, right: 1, low: 0, high: 1 });
    const flat = [
      {
        name: 'a',
        points: [
          { x: 1, y: 7 },
          { x: 3, y: 7 },
          { x: NaN, y: 1 },
        ],
      },
    ];
    expect(bounds(flat)).toEqual({ left: 1, right: 3, low: 6, high: 8 });
  });
});
