/** Asks the gateway for the one-time value that opens the stream's socket. */

/** Whether this stream is, or may be, recorded. */
export type RecordingPolicy = 'off' | 'allowed' | 'always';

export type Attach =
  | { kind: 'granted'; nonce: string; recording: RecordingPolicy }
  /** The cookie opens nothing any more: only a new *Connect* in the portal helps. */
  | { kind: 'refused' }
  /** Worth another try, not before `afterMs`. */
  | { kind: 'unreachable'; afterMs: number };

const TRY_MS = 10_000;
/** The gateway allows ten resumes a minute. */
const TOO_MANY_MS = 10_000;

/** With `record`, the gateway keeps the stream from its first picture on, where that is allowed. */
export async function attach(desktop: string, record: boolean): Promise<Attach> {
  let response: Response;
  try {
    response = await fetch(`/d/${desktop}/attach`, {
      method: 'POST',
      headers: { 'X-Beamdesk': '1', ...(record ? { 'Content-Type': 'application/json' } : {}) },
      ...(record ? { body: '{"record":true}' } : {}),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(TRY_MS),
    });
    if (response.ok) {
      const body: unknown = await response.json();
      if (typeof body === 'object' && body !== null && 'nonce' in body) {
        const recording = 'recording' in body ? asPolicy(body.recording) : 'off';
        if (typeof body.nonce === 'string')
          return { kind: 'granted', nonce: body.nonce, recording };
      }
      return { kind: 'unreachable', afterMs: 0 };
    }
  } catch {
    return { kind: 'unreachable', afterMs: 0 };
  }
  if (response.status === 429) return { kind: 'unreachable', afterMs: TOO_MANY_MS };
  const isFinal = response.status >= 400 && response.status < 500 && response.status !== 408;
  return isFinal ? { kind: 'refused' } : { kind: 'unreachable', afterMs: 0 };
}

function asPolicy(value: unknown): RecordingPolicy {
  return value === 'allowed' || value === 'always' ? value : 'off';
}
