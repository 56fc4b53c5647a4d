import type { Dispatcher } from 'undici';
import { environmentFailed, RinglockError } from '../../errors.ts';
import {
  bodyFailure,
  connectionFailure,
  parseRetryAfter,
  readLimited,
} from '../../git/http-failures.ts';
import { redactLine } from '../../redaction.ts';

/** What messages say of a request that failed. */
export interface FailureContext {
  /** The registry. */
  readonly display: string;
  /** What it was asked with: `MODULE_REGISTRY_TOKEN`, `no credentials`. */
  readonly credentials: string;
  /** What to do about a refusal: which variable, which scope. */
  readonly hint: string;
}

/** What an answer of 400 and above means. */
export async function answerFailure(
  { display, credentials, hint }: FailureContext,
  response: Dispatcher.ResponseData,
): Promise<RinglockError> {
  const { statusCode: status, headers } = response;
  const said = await firstWords(response);
  const details = { status };
  if (status === 401 || status === 403) {
    return environmentFailed(
      'registry-unauthorized',
      `${display} refuses ${credentials} (${status})${said}`,
      { hint, details },
    );
  }
  if (status === 404 || status === 410) {
    return environmentFailed(
      'registry-not-found',
      `${display} does not have what was asked for, or ${credentials} may not see it (${status})${said}`,
      { hint, details },
    );
  }
  if (status === 429 || status === 503) {
    const retryAfterMs = parseRetryAfter(headers['retry-after'], Date.now());
    const when =
      retryAfterMs === undefined ? '' : `, for another ${Math.ceil(retryAfterMs / 1000)} s`;
    return environmentFailed('registry-busy', `${display} is busy (${status})${when}${said}`, {
      hint: 'Run the same again later: what is done is not done twice.',
      details: { ...details, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    });
  }
  return environmentFailed('registry-failed', `${display} answers with ${status}${said}`, {
    details,
  });
}

/** The start of an answer: registries explain there; a page of HTML does not help. */
async function firstWords(response: Dispatcher.ResponseData): Promise<string> {
  const type = String(response.headers['content-type'] ?? '');
  const text = redactLine(await readLimited(response.body));
  return text === '' || type.includes('html') ? '' : `: ${text}`;
}

/** What it means that no answer came. */
export function noAnswer(display: string, error: unknown, proxy: string | undefined): unknown {
  return ofRegistry(connectionFailure(display, error, proxy));
}

/** What it means that an answer did not come to its end. */
export function brokenAnswer(display: string, error: unknown, bytes: number): unknown {
  return ofRegistry(bodyFailure(display, error, bytes));
}

/** The same failures as a git server's, under a registry's codes. */
function ofRegistry(error: unknown): unknown {
  if (!(error instanceof RinglockError)) return error;
  const { code, exitCode, message, hint, details, cause } = error;
  const own =
    code === 'fetch-incomplete' ? 'registry-incomplete' : code.replace(/^remote-/, 'registry-');
  return new RinglockError(own, exitCode, message, {
    cause,
    ...(hint !== undefined && { hint }),
    ...(details && { details }),
  });
}

/** Whether asking again may help. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof RinglockError)) return false;
  const status = Number(error.details?.['status'] ?? 0);
  return passing.has(error.code) || (error.code === 'registry-failed' && isPassingStatus(status));
}

function isPassingStatus(status: number): boolean {
  // 501 and 505: it never will.
  return (status >= 500 && status !== 501 && status !== 505) || status === 408 || status === 425;
}

const passing: ReadonlySet<string> = new Set([
  ...['registry-busy', 'registry-unreachable', 'registry-timeout', 'registry-incomplete'],
]);
