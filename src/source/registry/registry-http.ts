import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { environmentFailed, type RinglockError } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';
import type { Connections } from '../../wire/connections.ts';
import { isLoopback } from '../../wire/loopback.ts';
import {
  answerFailure,
  brokenAnswer,
  type FailureContext,
  isPassing,
  noAnswer,
} from './registry-failures.ts';

export interface RegistryHttpOptions {
  readonly connections: Connections;
  /** How often a request that failed in passing is sent again; default 3. */
  readonly retries?: number | undefined;
  /** The first wait of the exponential back-off, in ms; default 500. */
  readonly retryDelayMs?: number | undefined;
  /** The longest `Retry-After` that is waited for; default 30,000. */
  readonly maxRetryAfterMs?: number | undefined;
  /** How long a server may be silent, in ms; default 30,000. An answer may take 20 times that. */
  readonly idleTimeoutMs?: number | undefined;
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'MKCOL';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the URL's own origin only: never to where it redirects. */
  readonly authorization?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Statuses of 400 and above that are an answer. */
  readonly expect?: readonly number[];
  readonly context: FailureContext;
  /** Its answer may take as long as it needs: the caller sees to its end. */
  readonly isLarge?: boolean;
  /** Where sending it again is the caller's: 0. */
  readonly retries?: number;
  readonly signal?: AbortSignal | undefined;
}

/** An answer, after redirects. */
export interface RegistryAnswer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Dispatcher.ResponseData['body'];
  readonly url: URL;
}

const maxRedirects = 5;
const defaultRetries = 3;
const patience = 20;

/** HTTP to registries: patient with what passes, plain about what does not. */
export class RegistryHttp {
  readonly #options: RegistryHttpOptions;

  constructor(options: RegistryHttpOptions) {
    this.#options = options;
  }

  /**
   * Sends a request and reads its answer; both are done again where that may help.
   *
   * @param read has to read the body, or let it go
   * @throws RinglockError `registry-…`
   */
  async send<T>(asked: RegistryRequest, read: (answer: RegistryAnswer) => Promise<T>): Promise<T> {
    const retries = asked.retries ?? this.#options.retries ?? defaultRetries;
    for (let attempt = 0; ; attempt++) {
      const limit = this.#limitOf(asked);
      try {
        return await read(await this.#follow(limit === undefined ? asked : within(asked, limit)));
      } catch (error) {
        asked.signal?.throwIfAborted();
        if (limit?.aborted === true) throw neverEnds(asked.context);
        const delay = this.delayBefore(attempt, error);
        if (attempt >= retries || delay === undefined) throw error;
        await wait(delay, undefined, asked.signal && { signal: asked.signal });
      }
    }
  }

  /** A server that is never silent may still never end; how long an upload takes is up to the line. */
  #limitOf({ method, isLarge }: RegistryRequest): AbortSignal | undefined {
    if (isLarge === true || (method !== 'GET' && method !== 'HEAD')) return undefined;
    return AbortSignal.timeout(patience * (this.#options.idleTimeoutMs ?? 30_000));
  }

  /** @returns ms to wait before asking again; undefined when that would not help, or take too long */
  delayBefore(attempt: number, error: unknown): number | undefined {
    if (!isPassing(error)) return undefined;
    const { retryDelayMs = 500, maxRetryAfterMs = 30_000 } = this.#options;
    const asked = (error as RinglockError).details?.['retryAfterMs'];
    if (typeof asked === 'number') return asked <= maxRetryAfterMs ? asked : undefined;
    return retryDelayMs * 2 ** attempt * (1 + Math.random());
  }

  async #follow(asked: RegistryRequest): Promise<RegistryAnswer> {
    let { url } = asked;
    for (let redirects = 0; redirects <= maxRedirects; redirects++) {
      const answer = await this.#ask(asked, url);
      if (answer.statusCode < 300 || answer.statusCode === 304) return answerOf(answer, url);
      if (answer.statusCode >= 400) {
        if (asked.expect?.includes(answer.statusCode)) return answerOf(answer, url);
        throw await answerFailure(asked.context, answer);
      }
      await answer.body.dump().catch(() => {});
      url = redirectTarget(asked, url, answer);
    }
    throw redirected(asked.context, `redirects more than ${maxRedirects} times`);
  }

  async #ask(asked: RegistryRequest, url: URL): Promise<Dispatcher.ResponseData> {
    const { method, headers, authorization, body, context, signal } = asked;
    const way = await this.#options.connections.wayTo(url);
    try {
      const answer = await way.request(url, {
        method: method as Dispatcher.HttpMethod,
        dispatcher: way.dispatcher,
        signal: signal ?? null,
        headers: {
          'user-agent': 'ringlock',
          // What is digested and resumed are the bytes as they are kept.
          'accept-encoding': 'identity',
          ...headers,
          ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
          ...(url.origin === asked.url.origin && authorization),
        },
        body: body === undefined ? null : inPieces(body),
      });
      // A body that is let go of emits an error that nobody may be listening for.
      answer.body.on('error', () => {});
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      throw noAnswer(context.display, error, way.proxy);
    }
  }
}

function within(asked: RegistryRequest, limit: AbortSignal): RegistryRequest {
  const { signal } = asked;
  return { ...asked, signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) };
}

function neverEnds({ display }: FailureContext): RinglockError {
  return environmentFailed('registry-too-slow', `${display} began to answer and did not end`);
}

const pieceBytes = 64 * 1024;

/**
 * A body that undici sees leave piece by piece. Given whole, the time that a slow line needs for it would
 * count as the server's silence.
 */
function inPieces(body: Uint8Array | string): Uint8Array | string | Readable {
  if (typeof body === 'string' || body.length <= pieceBytes) return body;
  return Readable.from(pieces(body), { objectMode: false });
}

function* pieces(body: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < body.length; at += pieceBytes) yield body.subarray(at, at + pieceBytes);
}

function answerOf({ statusCode, headers, body }: Dispatcher.ResponseData, url: URL) {
  return { status: statusCode, headers, body, url };
}

/** Object storage is another host: it gets no token, and has to be as safe as the registry. */
function redirectTarget(asked: RegistryRequest, from: URL, answer: Dispatcher.ResponseData): URL {
  const { context, method } = asked;
  const location = String(answer.headers['location'] ?? '');
  if (method !== 'GET' && method !== 'HEAD') {
    throw redirected(context, `redirects a ${method} (${answer.statusCode}), expected an answer`);
  }
  if (!URL.canParse(location, from.href)) {
    throw redirected(
      context,
      `redirects to ${JSON.stringify(redactUrl(location.slice(0, 200)))}, which is no URL`,
    );
  }
  const target = new URL(location, from);
  const isPlainHere =
    target.protocol === 'http:' && isLoopback(target.hostname) && isLoopback(from.hostname);
  if (target.protocol === 'https:' || isPlainHere) return target;
  throw redirected(context, `redirects to ${redactUrl(target.href)}, expected https://`);
}

function redirected({ display }: FailureContext, what: string): RinglockError {
  return environmentFailed('registry-redirected', `${display} ${what}`);
}

/** Lets a body go that nobody needs. */
export async function ignoreBody({ body }: Pick<RegistryAnswer, 'body'>): Promise<void> {
  await body.dump().catch(() => {});
}

/**
 * A whole body, as bytes.
 *
 * @throws RinglockError `registry-incomplete`, `registry-timeout`; `registry-failed` over the limit
 */
export async function wholeBody(
  { body }: Pick<RegistryAnswer, 'body'>,
  display: string,
  limit = 8 * 1024 * 1024,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > limit) {
        throw environmentFailed(
          'registry-failed',
          `${display} answers with more than ${limit} bytes`,
        );
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw brokenAnswer(display, error, bytes);
  }
  return Buffer.concat(chunks);
}

/** A whole body that is JSON. @throws RinglockError `registry-malformed`, and what wholeBody() throws */
export async function jsonBody(answer: RegistryAnswer, display: string): Promise<unknown> {
  const bytes = await wholeBody(answer, display);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw malformed(display, `answers ${redactUrl(answer.url.href)} with what is no JSON`);
  }
}

export function malformed(display: string, what: string): RinglockError {
  return environmentFailed('registry-malformed', `${display} ${what}`, {
    hint: 'Check the URL of the registry: it has to be that of the service, not of a web page.',
  });
}
