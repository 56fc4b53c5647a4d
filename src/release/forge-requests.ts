import { RinglockError } from '../errors.ts';
import {
  jsonBody,
  type RegistryHttp,
  type RegistryRequest,
} from '../source/registry/registry-http.ts';

/** How a forge is asked. */
export interface ForgeAccess {
  readonly http: RegistryHttp;
  readonly display: string;
  readonly environment: NodeJS.ProcessEnv;
}

export interface ForgeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly url: URL;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly expect?: readonly number[];
  readonly signal: AbortSignal;
}

export interface ForgeAnswer {
  readonly status: number;
  readonly value: unknown;
}

export interface ForgeCredentials {
  /** Empty: nothing is sent. */
  readonly headers: Readonly<Record<string, string>>;
  /** For messages. */
  readonly source: string;
  /** What to do about a refusal. */
  readonly hint: string;
}

export const releaseToken = 'RINGLOCK_RELEASE_TOKEN';

/**
 * Asks a forge, patiently.
 *
 * @throws RinglockError `forge-…`
 */
export async function askForge(
  { http, display }: ForgeAccess,
  { headers, source, hint }: ForgeCredentials,
  asked: ForgeRequest,
): Promise<ForgeAnswer> {
  const { body, ...rest } = asked;
  const request: RegistryRequest = {
    ...rest,
    headers: {
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...asked.headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    authorization: headers,
    context: { display, credentials: source, hint },
  };
  try {
    return await http.send(request, async (answer) => ({
      status: answer.status,
      value: await jsonBody(answer, display),
    }));
  } catch (error) {
    throw ofForge(error);
  }
}

/** The same failures as a registry's, under a forge's codes. */
function ofForge(error: unknown): unknown {
  if (!(error instanceof RinglockError)) return error;
  const { code, exitCode, message, hint, details } = error;
  return new RinglockError(code.replace(/^registry-/, 'forge-'), exitCode, message, {
    cause: error,
    ...(hint !== undefined && { hint }),
    ...(details && { details }),
  });
}
