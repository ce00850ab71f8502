/** Paths of small lines. */

export interface Point {
  /** Ms. */
  at: number;
  value: number;
}

interface Frame {
  from: number;
  to: number;
  top: number;
  gap: number;
  width: number;
  height: number;
}

/** A line that stops where nothing was told, and what lies below it. */
export function spark(
  points: readonly Point[],
  { from, to, top, gap, width, height }: Frame,
): { line: string; area: string } {
  const round = (n: number) => Math.round(n * 10) / 10;
  const across = (at: number) => round(((at - from) / Math.max(1, to - from)) * width);
  const up = (value: number) => {
    const share = top > 0 ? Math.min(1, Math.max(0, value / top)) : 0;
    return round(height - share * height);
  };
  const runs: Point[][] = [];
  let before = -Infinity;
  for (const point of points) {
    if (point.at - before > gap) runs.push([]);
    runs.at(-1)?.push(point);
    before = point.at;
  }
  let line = '';
  let area = '';
  for (const run of runs) {
    const [first] = run;
    const end = run.at(-1);
    if (!first || !end) continue;
    // A lone point is a short stroke: it would not be seen else.
    const places = run.map(({ at, value }) => `${across(at)} ${up(value)}`);
    if (run.length === 1) places.push(`${round(across(first.at) + 1)} ${up(first.value)}`);
    line += `M${places.join('L')}`;
    area += `M${across(first.at)} ${height}L${places.join('L')}L${across(end.at)} ${height}Z`;
  }
  return { line, area };
}
