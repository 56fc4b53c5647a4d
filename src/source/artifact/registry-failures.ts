import type { Dispatcher } from 'undici';
import { environmentFailed, RinglockError } from '../../errors.ts';
import { bodyFailure, parseRetryAfter, readLimited } from '../../git/http-failures.ts';
import { redactLine, redactUrl } from '../../redaction.ts';

/** What a response of 400 and above means to whoever reads the message. */
export async function responseFailure(
  url: URL,
  { statusCode: status, headers, body }: Dispatcher.ResponseData,
  isRegistry: boolean,
): Promise<RinglockError> {
  const said = redactLine(await readLimited(body));
  const isPage = String(headers['content-type'] ?? '').includes('html');
  const words = said === '' || isPage ? '' : `: ${said}`;
  const display = redactUrl(`${url.origin}${url.pathname}`);
  if (status === 401 || status === 403) {
    return environmentFailed('registry-unauthorized', `${display} refuses (${status})${words}`, {
      hint: isRegistry
        ? 'Check MODULE_REGISTRY_TOKEN: it has to be valid and have the scope read_package_registry (or read_api).'
        : 'MODULE_REGISTRY_TOKEN goes to the server of MODULE_REGISTRY_URL only: is that this one?',
      details: { status },
    });
  }
  if (status === 404 || status === 410) {
    return environmentFailed('registry-not-found', `${display} is not there (${status})`, {
      hint: 'It was deleted, or the token may not see it; GitLab answers so without MODULE_REGISTRY_TOKEN.',
      details: { status },
    });
  }
  const isBusy = status === 429 || status === 503;
  const retryAfterMs = parseRetryAfter(headers['retry-after'], Date.now());
  const code = isBusy ? 'registry-busy' : status >= 500 ? 'registry-failed' : 'registry-refused';
  return environmentFailed(code, `${display} answers with ${status}${words}`, {
    details: { status, ...(retryAfterMs !== undefined && { retryAfterMs }) },
  });
}

/** What went wrong on the way, under the codes of registries; what is none of that is thrown. */
export function registryFailure(url: URL, error: unknown, received: number): RinglockError {
  const display = redactUrl(`${url.origin}${url.pathname}`);
  const failure = bodyFailure(display, error, received);
  if (!(failure instanceof RinglockError)) throw failure;
  const code = failure.code.replace(/^remote-|^fetch-/, 'registry-');
  if (code === failure.code) return failure;
  const { exitCode, message, hint, details } = failure;
  return new RinglockError(code, exitCode, message, {
    cause: error,
    ...(hint !== undefined && { hint }),
    ...(details !== undefined && { details }),
  });
}
