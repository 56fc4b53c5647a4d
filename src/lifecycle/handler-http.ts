import type { LookupOptions } from 'node:dns';
import type { Dispatcher } from 'undici';
import { registerSecret } from '../redaction.ts';
import { isLoopback } from '../wire/loopback.ts';

export interface HttpCall {
  readonly method: 'GET' | 'POST';
  /** User information in it is sent as basic authorization. */
  readonly url: URL;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/**
 * One request over a connection of its own, closed after it. No redirect is followed and no proxy is
 * asked: the answer is that of the address that was named. `localhost` is the loopback interface
 * whatever a resolver says (RFC 6761, 6.3).
 *
 * The caller's signal carries the time limit.
 */
export async function callHttp<T>(
  call: HttpCall,
  signal: AbortSignal,
  read: (response: Dispatcher.ResponseData) => Promise<T>,
): Promise<T> {
  const { authorization, url } = withoutUserInformation(call.url);
  const local = url.hostname === 'localhost';
  // Loaded for the first call: most pods call nobody.
  const { Agent, request } = (await import('undici')).default;
  const dispatcher = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: local ? { lookup: lookUpLoopback } : {},
  });
  // An abort reaches a request only once it is connected; until then it ends with its dispatcher.
  const stop = () => void dispatcher.destroy(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const response = await request(url, {
      dispatcher,
      signal,
      method: call.method,
      reset: true,
      headers: {
        'user-agent': 'ringlock',
        ...(authorization !== undefined && { authorization }),
        ...(call.body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
    });
    // An aborted body emits an error that nobody may be listening for.
    response.body.on('error', () => {});
    return await read(response);
  } finally {
    signal.removeEventListener('abort', stop);
    await dispatcher.destroy();
  }
}

/**
 * The URL of an application, whose credentials are hidden from here on, or why it cannot be called.
 *
 * Plain http is what a pod and a cluster speak among themselves, but credentials do not go over it to
 * another machine.
 */
export function parseHttpUrl(text: string): URL | string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    return 'is no http:// or https:// URL';
  registerSecret(text);
  const hasCredentials = url.username !== '' || url.password !== '';
  if (url.protocol === 'http:' && hasCredentials && !isLoopback(url.hostname)) {
    return 'would send credentials over plain http to another machine, expected https://';
  }
  return url;
}

/** Why no answer came, in words. */
export function connectionReason(error: unknown): string {
  // Trying several addresses of one name fails as a group, whose own message is empty.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const { code, message } = first as { code?: string; message?: string };
  const known: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connection refused',
    ECONNRESET: 'connection reset',
    EPIPE: 'connection closed',
    UND_ERR_SOCKET: 'connection closed without an answer',
  };
  return known[code ?? ''] ?? message ?? String(first);
}

function withoutUserInformation(given: URL): { url: URL; authorization: string | undefined } {
  const url = new URL(given);
  if (url.username === '' && url.password === '') return { url, authorization: undefined };
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = '';
  url.password = '';
  return { url, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

type LookUpAnswer = (
  error: Error | null,
  address: string | { address: string; family: number }[],
  family?: number,
) => void;

function lookUpLoopback(_: string, options: LookupOptions, answer: LookUpAnswer): void {
  if (options.all !== true) {
    answer(null, '127.0.0.1', 4);
    return;
  }
  answer(null, [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]);
}
