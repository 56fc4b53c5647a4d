import { setTimeout as sleep } from 'node:timers/promises';
import { environmentFailed, type RinglockError } from '../errors.ts';
import { callHttp, connectionReason, parseHttpUrl } from './handler-http.ts';
import { harmless, KeptOutput, lastWords } from './handler-output.ts';
import { showMs, TimeLimitPassed, withTimeLimit } from './handler-time-limit.ts';

/**
 * POSTs the payload until the application takes it. An application that reloads refuses connections,
 * drops them or answers 5xx for a moment; any other answer is its last word.
 *
 * @returns what was answered, in words
 * @throws RinglockError `notify-failed`; the signal's reason
 */
export async function postNotification(
  { url: text, timeoutMs }: { readonly url: string; readonly timeoutMs: number },
  payload: unknown,
  signal: AbortSignal,
): Promise<string> {
  const url = parseUrl(text);
  let last = 'no answer';
  try {
    return await withTimeLimit(timeoutMs, signal, async (limited) => {
      for (let tries = 1; ; tries++) {
        const answer = await post(url, payload, limited);
        const times = tries === 1 ? '' : ` at attempt ${tries}`;
        last = `${answer.what}${times}`;
        if (answer.done === 'told') return `${harmless(text)} ${last}`;
        if (answer.done === 'refused') throw failed(text, last);
        await sleep(Math.min(longestPauseMs, firstPauseMs * 2 ** (tries - 1)), undefined, {
          signal: limited,
        });
      }
    });
  } catch (error) {
    if (!(error instanceof TimeLimitPassed)) throw error;
    throw failed(text, `${last}, and no success within ${showMs(timeoutMs)}`);
  }
}

const firstPauseMs = 50;
const longestPauseMs = 1000;

interface Answer {
  readonly done: 'told' | 'refused' | 'again';
  readonly what: string;
}

async function post(url: URL, body: unknown, signal: AbortSignal): Promise<Answer> {
  try {
    return await callHttp({ method: 'POST', url, body }, signal, async (response) => {
      const { statusCode: status } = response;
      if (status >= 200 && status <= 299) {
        await response.body.dump({ limit: 64 * 1024, signal }).catch(() => {});
        return { done: 'told', what: `answered ${status}` };
      }
      const words = await firstWords(response.body);
      return { done: status >= 500 ? 'again' : 'refused', what: `answered ${status}${words}` };
    });
  } catch (error) {
    signal.throwIfAborted();
    return { done: 'again', what: harmless(connectionReason(error)) };
  }
}

async function firstWords(body: AsyncIterable<Uint8Array>): Promise<string> {
  const kept = new KeptOutput(2048);
  let length = 0;
  try {
    for await (const chunk of body) {
      kept.add(chunk);
      length += chunk.length;
      if (length > 64 * 1024) break;
    }
  } catch {
    // The status has been heard.
  }
  const words = lastWords(kept.text(), 200);
  return words === '' ? '' : ` (${words})`;
}

function parseUrl(text: string): URL {
  const url = parseHttpUrl(text);
  if (typeof url !== 'string') return url;
  throw failed(text, url);
}

function failed(text: string, why: string): RinglockError {
  return environmentFailed('notify-failed', `cannot notify by http: ${harmless(text)} ${why}`, {
    hint: 'The application has to answer 2xx there.',
    details: { kind: 'http' },
  });
}
