import { type Dispatcher, request } from 'undici';
import { environmentFailed } from '../../errors.ts';
import { connectionFailure } from '../../git/http-failures.ts';
import { redactUrl } from '../../redaction.ts';
import { requireSecure } from './artifact-url.ts';
import type { HttpOptions } from './http-options.ts';
import { responseFailure } from './registry-failures.ts';

const maxRedirects = 5;

/**
 * Asks for a file from a byte on, following redirects. The token goes to the registry's own origin and to
 * no other, wherever a lock or a redirect leads.
 *
 * @returns a response of 200, or of 206 that begins at that byte
 * @throws RinglockError `registry-…`, `insecure-url`
 */
export async function requestArtifact(
  from: URL,
  start: number,
  options: HttpOptions,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  let url = from;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await ask(url, start, options, signal);
    const { statusCode, headers } = response;
    if (statusCode < 300) return requirePart(response, start, url);
    if (statusCode >= 400) throw await responseFailure(url, response, isRegistry(url, options));
    await response.body.dump().catch(() => {});
    url = redirectTarget(headers['location'], url);
  }
  throw environmentFailed(
    'registry-redirected',
    `${redactUrl(from.href)} redirects more than ${maxRedirects} times`,
  );
}

async function ask(
  url: URL,
  start: number,
  options: HttpOptions,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const token = isRegistry(url, options) ? await options.token() : undefined;
  const { dispatcher, proxy } = await options.connections.wayTo(url);
  try {
    return await request(url, {
      dispatcher,
      signal,
      headers: {
        'user-agent': 'ringlock',
        'accept-encoding': 'identity',
        ...(start > 0 && { range: `bytes=${start}-` }),
        // As GitLab takes personal, project and group tokens; its other kinds have headers of their own.
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
    });
  } catch (error) {
    throw connectionFailure(redactUrl(`${url.origin}${url.pathname}`), error, proxy);
  }
}

function isRegistry(url: URL, { registryUrl }: HttpOptions): boolean {
  if (registryUrl === undefined || !URL.canParse(registryUrl)) return false;
  return new URL(registryUrl).origin === url.origin;
}

async function requirePart(
  response: Dispatcher.ResponseData,
  start: number,
  url: URL,
): Promise<Dispatcher.ResponseData> {
  const { statusCode, headers } = response;
  if (statusCode === 200) return response;
  const range = String(headers['content-range'] ?? '');
  if (statusCode === 206 && start > 0 && range.startsWith(`bytes ${start}-`)) return response;
  await response.body.dump().catch(() => {});
  throw environmentFailed(
    'registry-wrong-answer',
    `${redactUrl(url.href)} answers with ${statusCode} ${range}, expected the file${start > 0 ? ` from byte ${start} on` : ''}`,
  );
}

function redirectTarget(location: string | string[] | undefined, from: URL): URL {
  const text = String(location ?? '');
  if (!URL.canParse(text, from.href) || text === '') {
    throw environmentFailed(
      'registry-redirected',
      `${redactUrl(from.href)} redirects to ${JSON.stringify(text.slice(0, 200))}, which is no URL`,
    );
  }
  const target = new URL(text, from);
  const isWeb = target.protocol === 'https:' || target.protocol === from.protocol;
  if (!isWeb || !/^https?:$/.test(target.protocol)) {
    throw environmentFailed(
      'registry-redirected',
      `${redactUrl(from.href)} redirects to ${target.protocol}//${target.host}, expected https`,
    );
  }
  requireSecure(target);
  return target;
}
