import { setTimeout as wait } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { environmentFailed, RinglockError } from '../../errors.ts';
import type { HttpOptions } from './http-options.ts';
import { registryFailure } from './registry-failures.ts';
import { requestArtifact } from './request-artifact.ts';

/** Attempts in a row that bring nothing, before a server is given up. */
const mostAttempts = 4;
/** Responses that break off after some bytes, however many those are. */
const mostParts = 50;
/** A longer `Retry-After` is not waited for: another source may have it. */
const longestRetryAfterMs = 15_000;
/** A response that is never silent may still never end: after so many idle times it has to be fast. */
const patience = 20;
const slowestBytesPerSecond = 1024;

/**
 * A file from a web server. What breaks off is gone on with where it ended, by range where the server knows
 * ranges; a server that is busy or fails is asked again, later each time. That the parts make one file is
 * for the digest to say.
 *
 * @throws RinglockError `registry-…`; the signal's reason
 */
export async function* readHttp(
  url: URL,
  options: HttpOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let received = 0;
  let failures = 0;
  for (let part = 0; ; part++) {
    const before = received;
    try {
      const response = await requestArtifact(url, received, options, signal);
      for await (const chunk of bodyOf(response, received, options, url)) {
        received += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      const failure = registryFailure(url, error, received);
      failures = received > before ? 1 : failures + 1;
      if (failures >= mostAttempts || part >= mostParts || !isPassing(failure)) throw failure;
      await pause(failure, failures, options, signal);
    }
  }
}

/** The body from the byte that is wanted: a server that knows no ranges begins anew. */
async function* bodyOf(
  { statusCode, body }: Dispatcher.ResponseData,
  received: number,
  { idleTimeoutMs }: HttpOptions,
  url: URL,
): AsyncGenerator<Uint8Array> {
  let toSkip = statusCode === 206 ? 0 : received;
  let bytes = 0;
  const start = performance.now();
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    const lateMs = performance.now() - start - patience * idleTimeoutMs;
    if (lateMs > (bytes * 1000) / slowestBytesPerSecond) {
      throw environmentFailed('registry-too-slow', `${url.host} sends too slowly to ever end`);
    }
    const skipped = Math.min(toSkip, chunk.length);
    toSkip -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}

/** Whether another attempt may go better. */
function isPassing(failure: unknown): failure is RinglockError {
  if (!(failure instanceof RinglockError)) return false;
  const retryAfter = Number(failure.details?.['retryAfterMs'] ?? 0);
  return passing.has(failure.code) && retryAfter <= longestRetryAfterMs;
}

const passing: ReadonlySet<string> = new Set([
  ...['registry-busy', 'registry-failed', 'registry-incomplete', 'registry-timeout'],
  'registry-unreachable',
]);

async function pause(
  { details }: RinglockError,
  failures: number,
  { retryDelayMs = 500 }: HttpOptions,
  signal: AbortSignal,
): Promise<void> {
  const backOff = retryDelayMs * 2 ** (failures - 1) * (0.5 + Math.random());
  const retryAfter = Number(details?.['retryAfterMs'] ?? 0);
  await wait(Math.max(retryAfter, backOff), undefined, { signal });
}
