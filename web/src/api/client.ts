/** The portal's API, typed from its OpenAPI document. */
import createClient from 'openapi-fetch';

import type { components, paths } from './schema';

type Schemas = components['schemas'];
export type Desktop = Schemas['DesktopView'];
export type Failure = Schemas['FailureCode'];
export type Image = Schemas['Image'];
export type Me = Schemas['Me'];
export type Node = Schemas['Node'];
export type Offers = Schemas['Offers'];
export type Phase = Schemas['Phase'];
export type Protection = Schemas['Protection'];
export type Recording = Schemas['RecordingView'];
export type RecordingPolicy = Schemas['RecordingPolicy'];
export type RecordingUse = Schemas['RecordingUse'];
export type Role = Schemas['Role'];
export type Size = Schemas['Size'];
export type User = Schemas['UserView'];
export type Waiting = Schemas['Waiting'];

/** Marks a request as one of our own pages; a form of another site cannot set it. */
export const client = createClient<paths>({ headers: { 'X-Beamdesk': '1' } });

/** A request that did not work, in words for the person. */
export class ApiError extends Error {
  override name = 'ApiError';
  /** Stable word of the portal; `unreachable` when there was no answer. */
  readonly code: string;
  /** What an operator finds in the log. */
  readonly reference: string | null;

  constructor(code: string, reference: string | null) {
    super(code);
    this.code = code;
    this.reference = reference;
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The body of an answer, or an `ApiError`. */
export async function answered<T>(request: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await request;
  } catch {
    throw new ApiError('unreachable', null);
  }
  if (answer.response.ok) return answer.data as T;
  throw errorOf(answer.error, answer.response.status);
}

function errorOf(body: unknown, status: number): ApiError {
  if (typeof body === 'object' && body !== null && 'error' in body) {
    const { error } = body;
    if (typeof error === 'object' && error !== null && 'code' in error) {
      const { code } = error;
      const id = 'request_id' in error ? error.request_id : null;
      if (typeof code === 'string') {
        return new ApiError(code, typeof id === 'string' && id !== '' ? id : null);
      }
    }
  }
  // Not ours: some proxy answered.
  return new ApiError(status >= 500 ? 'unavailable' : `HTTP ${status}`, null);
}
