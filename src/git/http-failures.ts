import type { Dispatcher } from 'undici';
import { environmentFailed, RinglockError } from '../errors.ts';
import { redactLine } from '../redaction.ts';
import { tlsFailure } from '../wire/tls-failure.ts';
import type { Credentials } from './credentials.ts';

/** What a response of 400 and above means to whoever reads the message. */
export async function responseFailure(
  display: string,
  response: Dispatcher.ResponseData,
  credentials: Credentials,
): Promise<RinglockError> {
  const { statusCode: status, headers } = response;
  const said = await firstWords(response);
  if (status === 401 || status === 403) {
    return environmentFailed(
      'remote-unauthorized',
      `${display} refuses ${credentials.source} (${status})${said}`,
      { hint: credentialHint(credentials), details: { status } },
    );
  }
  if (status === 404 || status === 410) {
    return environmentFailed(
      'remote-not-found',
      `${display} is no repository, or one that ${credentials.source} may not see (${status})`,
      { hint: credentialHint(credentials), details: { status } },
    );
  }
  if (status === 429 || status === 503) {
    const retryAfterMs = parseRetryAfter(headers['retry-after'], Date.now());
    const when =
      retryAfterMs === undefined ? '' : `, for another ${Math.ceil(retryAfterMs / 1000)} s`;
    return environmentFailed('remote-busy', `${display} is busy (${status})${when}${said}`, {
      details: { status, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    });
  }
  return environmentFailed('remote-failed', `${display} answers with ${status}${said}`, {
    details: { status },
  });
}

function credentialHint({ authorization }: Credentials): string {
  return authorization === undefined
    ? 'Give a token that may read the repository.'
    : 'Check that the token is valid and may read the repository.';
}

/** The start of a plain-text answer: forges explain there; a page of HTML does not help. */
async function firstWords(response: Dispatcher.ResponseData): Promise<string> {
  const type = String(response.headers['content-type'] ?? '');
  if (type.includes('html')) {
    await response.body.dump().catch(() => {});
    return '';
  }
  const text = redactLine(await readLimited(response.body));
  return text === '' ? '' : `: ${text}`;
}

const longestExplanation = 4096;

/** The start of a body, as text; one that breaks off is no failure. */
export async function readLimited(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= longestExplanation) break;
    }
  } catch {
    // The status has been heard; what the server would have added is no loss.
  }
  const text = Buffer.concat(chunks).toString('utf8');
  // The word that the cut goes through may be half a secret, which nothing would recognise.
  return length < longestExplanation ? text : text.replace(/\S*$/, '');
}

const longestRetryAfterMs = 24 * 3_600_000;

/** Seconds or a date (RFC 9110, 10.2.3) to milliseconds from now; undefined when absent or neither. */
export function parseRetryAfter(
  value: string | string[] | undefined,
  now: number,
): number | undefined {
  const text = Array.isArray(value) ? value[0] : value;
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text.trim())) return Math.min(Number(text) * 1000, longestRetryAfterMs);
  const date = Date.parse(text);
  if (Number.isNaN(date)) return undefined;
  return Math.min(Math.max(0, date - now), longestRetryAfterMs);
}

/**
 * What it means that no response came.
 *
 * @param proxy what was asked to connect, where something was
 */
export function connectionFailure(
  display: string,
  error: unknown,
  proxy: string | undefined,
): unknown {
  const { code, name, message = '' } = error as { code?: string; name?: string; message?: string };
  const refusal = /^Proxy response \((\d+)\)/.exec(message);
  if (refusal !== null) return proxyRefusal(display, proxy, refusal[1]);
  if (name === 'AbortError') return error;
  const untrusted = tlsFailure(error);
  if (untrusted !== undefined) {
    const { what, hint } = untrusted;
    return environmentFailed('remote-untrusted', `${display} ${what}`, { hint, cause: error });
  }
  const through = proxy === undefined ? {} : { hint: throughProxy(proxy) };
  if (code === 'UND_ERR_HEADERS_TIMEOUT') {
    return environmentFailed('remote-timeout', `${display} does not answer`, {
      ...through,
      cause: error,
    });
  }
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') {
    return environmentFailed('remote-unreachable', `${display} cannot be reached in time`, {
      ...through,
      cause: error,
    });
  }
  const reason = redactLine(reasonOf(error));
  return environmentFailed('remote-unreachable', `${display} cannot be reached: ${reason}`, {
    ...through,
    cause: error,
  });
}

function throughProxy(proxy: string): string {
  return `It is asked through the proxy ${proxy}, unless NO_PROXY names it: is that right?`;
}

function proxyRefusal(
  display: string,
  proxy: string | undefined,
  status: string | undefined,
): RinglockError {
  return environmentFailed(
    'remote-proxy-refused',
    `the proxy ${proxy ?? ''} does not connect to ${display} (${status})`,
    {
      hint:
        status === '407'
          ? 'Give its user and password in the URL of HTTPS_PROXY, or of the file that HTTPS_PROXY_FILE names.'
          : 'Have the proxy allow it, or name the host in NO_PROXY.',
      details: { status: Number(status) },
    },
  );
}

function reasonOf(error: unknown): string {
  // Trying several addresses of one name fails as a group, whose own message is empty.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const { message, code } = first as { message?: string; code?: string };
  return message || code || String(first);
}

/** What it means that a response did not come to its end. */
export function bodyFailure(display: string, error: unknown, bytes: number): unknown {
  if (error instanceof RinglockError) return error;
  const { code, name } = error as { code?: string; name?: string };
  if (name === 'AbortError') return error;
  if (code === 'UND_ERR_BODY_TIMEOUT') {
    return environmentFailed('remote-timeout', `${display} fell silent after ${bytes} bytes`, {
      cause: error,
    });
  }
  return environmentFailed(
    'fetch-incomplete',
    `the connection to ${display} ended after ${bytes} bytes of a response`,
    { cause: error },
  );
}
