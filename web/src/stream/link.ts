/** What a page and the worker that holds its session say to each other. */
import type { Cursor } from './cursor';
import type { Pixels, Rect } from './picture';
import type { Quality } from './proto';
import type { Brush, Stroke } from './remote';
import type { SliceChange } from './slices';
import type { Controls, Sample, Size, View } from './session';

/** One of the controls, with what it is given. */
export type Call = {
  [Name in keyof Controls]: { call: Name; with: Parameters<Controls[Name]> };
}[keyof Controls];

export type ToWorker =
  | { type: 'open'; desktop: string; size: Size; quality: Quality }
  | { type: 'call'; call: Call }
  | { type: 'stroke'; stroke: Stroke }
  | { type: 'pixels'; id: number; area: Rect };

export type ToPage =
  /** Loaded; the session takes calls. */
  | { type: 'ready' }
  /** It will never be. */
  | { type: 'failed'; message: string }
  | { type: 'changed'; view: View }
  | { type: 'cursor'; cursor: Cursor }
  | { type: 'resized'; size: Size }
  | { type: 'shown'; sample: Sample }
  | { type: 'slice'; change: SliceChange }
  | { type: 'brush'; brush: Brush }
  | { type: 'pixels'; id: number; pixels: Pixels };

/** Whether a page would look the same with either. */
export function isSameView(a: View, b: View): boolean {
  return (Object.keys(a) as (keyof View)[]).every((name) => a[name] === b[name]);
}
