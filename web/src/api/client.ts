/** The portal's API, typed from its OpenAPI document. */
import createClient from 'openapi-fetch';

import type { components, paths } from './schema';

type Schemas = components['schemas'];
export type Card = Schemas['CardView'];
export type CardOffer = Schemas['CardOffer'];
export type Cloud = Schemas['CloudView'];
export type CloudHost = Schemas['CloudHost'];
export type CloudResource = Schemas['Resource'];
export type Desktop = Schemas['DesktopView'];
export type Enrolment = Schemas['EnrolmentView'];
export type Failure = Schemas['FailureCode'];
export type GpuRequest = Schemas['GpuRequest'];
export type Image = Schemas['Image'];
export type LoginWays = Schemas['LoginWaysView'];
export type Me = Schemas['Me'];
export type Misfit = Schemas['Misfit'];
export type MisfitCount = Schemas['MisfitCount'];
export type Node = Schemas['NodeView'];
export type NodeHistory = Schemas['NodeHistory'];
export type NodeSample = Schemas['NodePoint'];
export type OfferCheck = Schemas['OfferCheck'];
export type Offers = Schemas['Offers'];
export type Phase = Schemas['Phase'];
export type PlacementSettings = Schemas['PlacementSettings'];
export type PlacementView = Schemas['PlacementView'];
export type Protection = Schemas['Protection'];
export type Recording = Schemas['RecordingView'];
export type RecordingPolicy = Schemas['RecordingPolicy'];
export type RecordingUse = Schemas['RecordingUse'];
export type Reservation = Schemas['Reservation'];
export type Role = Schemas['Role'];
export type Size = Schemas['Size'];
export type Station = Schemas['Station'];
export type StationName = Schemas['StationName'];
export type UnclaimedServer = Schemas['UnclaimedView'];
export type User = Schemas['UserView'];
export type Waiting = Schemas['WaitingView'];
export type WhatIf = Schemas['WhatIf'];
export type WhatIfAnswer = Schemas['WhatIfAnswer'];

/** Marks a request as one of our own pages; a form of another site cannot set it. */
export const client = createClient<paths>({ headers: { 'X-Beamdesk': '1' } });

/** A request that did not work, in words for the person. */
export class ApiError extends Error {
  override name = 'ApiError';
  /** Stable word of the portal; `unreachable` when there was no answer. */
  readonly code: string;
  /** What an operator finds in the log. */
  readonly reference: string | null;
  /** The portal's own words: what is wrong with what was sent. */
  readonly detail: string;
  /** Why there can be no room. */
  readonly misfits: readonly MisfitCount[];

  constructor(
    code: string,
    reference: string | null,
    { detail = '', misfits = [] }: { detail?: string; misfits?: readonly MisfitCount[] } = {},
  ) {
    super(code);
    this.code = code;
    this.reference = reference;
    this.detail = detail;
    this.misfits = misfits;
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
        const detail = 'message' in error && typeof error.message === 'string' ? error.message : '';
        const misfits = 'misfits' in error ? misfitsOf(error.misfits) : [];
        return new ApiError(code, typeof id === 'string' && id !== '' ? id : null, {
          detail,
          misfits,
        });
      }
    }
  }
  // Not ours: some proxy answered.
  return new ApiError(status >= 500 ? 'unavailable' : `HTTP ${status}`, null);
}

function misfitsOf(found: unknown): MisfitCount[] {
  if (!Array.isArray(found)) return [];
  const isOne = (one: unknown): one is MisfitCount =>
    typeof one === 'object' &&
    one !== null &&
    'code' in one &&
    typeof one.code === 'string' &&
    'nodes' in one &&
    typeof one.nodes === 'number';
  return found.filter(isOne);
}
