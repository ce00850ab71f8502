/** Amounts and times as people read them. */
import { words } from '../text/words.svelte';

const KIB = 1024;

/** Memory given in MiB. */
export function memory(mib: number): string {
  const { units } = words.t;
  if (mib >= KIB * KIB) return `${number(mib / KIB / KIB)} ${units.tib}`;
  return mib >= KIB ? `${number(mib / KIB)} ${units.gib}` : `${number(mib)} ${units.mib}`;
}

/** Disk given in GiB. */
export function disk(gib: number): string {
  return memory(gib * KIB);
}

/** How long something has lasted. */
export function duration(ms: number): string {
  const { time } = words.t;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return time.seconds(seconds);
  if (seconds < 3600) return time.minutes(Math.floor(seconds / 60));
  if (seconds < 86_400) return time.hours(Math.floor(seconds / 3600));
  return time.days(Math.floor(seconds / 86_400));
}

/** A size in bytes. */
export function size(bytes: number): string {
  const mib = bytes / KIB / KIB;
  return mib >= 1 ? memory(mib) : `${number(bytes / KIB)} ${words.t.units.kib}`;
}

/** A place in time within something: 1:02:03. */
export function clockTime(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const end = `${hours > 0 ? two(minutes) : minutes}:${two(seconds % 60)}`;
  return hours > 0 ? `${hours}:${end}` : end;
}

/** A moment, in the reader's own time zone. */
export function moment(timestamp: string): string {
  return told(timestamp, { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });
}

/** A moment that is near: without its day when that is today. */
export function soon(timestamp: string, now: number): string {
  const isToday = new Date(timestamp).toDateString() === new Date(now).toDateString();
  return isToday ? told(timestamp, { timeStyle: 'short', hourCycle: 'h23' }) : moment(timestamp);
}

/** A day, with its name. */
export function day(at: number): string {
  return told(at, { weekday: 'short', day: 'numeric', month: 'short' });
}

function told(at: string | number, style: Intl.DateTimeFormatOptions): string {
  const { lang } = document.documentElement;
  // A British reader of English wants the day first.
  const own = navigator.languages.filter((tag) => tag.slice(0, 2) === lang.slice(0, 2));
  return new Intl.DateTimeFormat([...own, lang], style).format(new Date(at));
}

/** A share of one as percent. */
export function percent(share: number): string {
  const digits = { style: 'percent', maximumFractionDigits: 0 } as const;
  return new Intl.NumberFormat(document.documentElement.lang, digits).format(share);
}

/** A count, or a measure with at most so many digits behind the point. */
export function number(value: number, digits = value < 10 ? 1 : 0): string {
  const style = { maximumFractionDigits: digits };
  return new Intl.NumberFormat(document.documentElement.lang, style).format(value);
}
