/** Which measures a what-if tells, and which of them is best. */
import type { WhatIfAnswer } from '../../api/client';

/** More is better; of all others, less. */
const MORE: readonly string[] = ['alloc100', 'alloc130', 'alloc', 'first'];
const COUNTS: readonly string[] = ['multi_failed', 'failed', 'cpu_failed'];

/** All others are percent. */
export const isPercent = (name: string): boolean => !COUNTS.includes(name);

/** In the order in which they were told. */
export function measuresOf({ results }: WhatIfAnswer): string[] {
  return [...new Set(results.flatMap((one) => one.measures.map((measure) => measure.name)))];
}

export function bestOf({ results }: WhatIfAnswer, name: string): number | null {
  const values = results.flatMap((one) =>
    one.measures.filter((measure) => measure.name === name).map((measure) => measure.mean),
  );
  // Among equals none is best.
  if (new Set(values).size < 2) return null;
  return MORE.includes(name) ? Math.max(...values) : Math.min(...values);
}
