/** Measures of a plot. */

export interface Curve {
  name: string;
  points: readonly { x: number; y: number }[];
}

interface Box {
  left: number;
  right: number;
  low: number;
  high: number;
}

/** So many lines of the grid, about. */
const LINES = 8;
/** 0.3 / 0.05 is a little less than 6. */
const NEAR = 1e-9;

/** What all curves lie in; never without extent. */
export function bounds(curves: readonly Curve[]): Box {
  const all = curves.flatMap((curve) => curve.points).filter(isNumber);
  const span = (values: readonly number[]): [number, number] => {
    if (values.length === 0) return [0, 1];
    const least = Math.min(...values);
    const most = Math.max(...values);
    return most > least ? [least, most] : [least - 1, most + 1];
  };
  const [left, right] = span(all.map((point) => point.x));
  const [low, high] = span(all.map((point) => point.y));
  return { left, right, low, high };
}

const isNumber = ({ x, y }: { x: number; y: number }) => Number.isFinite(x) && Number.isFinite(y);

/** Round numbers between two values: steps of 1, 2 or 5 of a power of ten. */
export function ticks(from: number, to: number): number[] {
  const rough = (to - from) / LINES;
  if (!Number.isFinite(rough) || rough <= 0) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((times) => times * power >= rough) ?? 10) * power;
  const first = Math.ceil(from / step - NEAR);
  const count = Math.floor(to / step + NEAR) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) =>
    // 0.1 + 0.2 is not written as people write it.
    Number(((first + index) * step).toPrecision(12)),
  );
}
