/** A week in the reader's own time zone, and where times lie in it. */

/** Midnights of seven days from a Monday on, and the one that ends the last. */
export type Week = readonly number[];

const DAYS = 7;

/** The week that a moment is in, or one so many weeks from it. Days may have 23 or 25 hours. */
export function weekOf(at: number, offset = 0): Week {
  const day = new Date(at);
  // Monday is the first day, as ISO 8601 counts.
  const since = (day.getDay() + DAYS - 1) % DAYS;
  const monday = day.getDate() - since + offset * DAYS;
  return Array.from({ length: DAYS + 1 }, (_, index) =>
    new Date(day.getFullYear(), day.getMonth(), monday + index).getTime(),
  );
}

export const begin = (week: Week): number => week[0] ?? 0;
export const end = (week: Week): number => week[DAYS] ?? 0;

/** Where a moment lies, from 0 at the beginning of the week to 1 at its end; days are equally wide. */
export function placeIn(week: Week, at: number): number {
  if (at <= begin(week)) return 0;
  for (let index = 0; index < DAYS; index++) {
    const from = week[index] ?? 0;
    const to = week[index + 1] ?? 0;
    if (at < to) return (index + (at - from) / (to - from)) / DAYS;
  }
  return 1;
}

interface Span {
  from: string;
  to: string;
}

/** What touches the week, in rows of which none has two at once: the first row that is free. */
export function lanes<T extends Span>(week: Week, all: readonly T[]): T[][] {
  const touching = all
    .filter((one) => Date.parse(one.to) > begin(week) && Date.parse(one.from) < end(week))
    .sort((a, b) => Date.parse(a.from) - Date.parse(b.from));
  const rows: { last: number; spans: T[] }[] = [];
  for (const span of touching) {
    const from = Date.parse(span.from);
    const row = rows.find((one) => one.last <= from);
    if (row) {
      row.spans.push(span);
      row.last = Date.parse(span.to);
    } else rows.push({ last: Date.parse(span.to), spans: [span] });
  }
  return rows.map((row) => row.spans);
}

/** A whole hour of a moment's day, or of one so many days after it. */
export function hourOf(at: number, hour: number, days = 0): number {
  const day = new Date(at);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + days, hour).getTime();
}

/** As the field of a form wants it: local, to the minute. */
export function toField(at: number): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const date = new Date(at);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** What a field says, or null when it says nothing yet. */
export function fromField(text: string): number | null {
  const at = text === '' ? NaN : new Date(text).getTime();
  return Number.isFinite(at) ? at : null;
}
