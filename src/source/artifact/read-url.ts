import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { badInput, environmentFailed } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAbsent } from '../../store/disk-error.ts';
import type { Connections } from '../../wire/connections.ts';
import { isSameOrigin } from '../../wire/same-origin.ts';
import { RegistryHttp, type RegistryRequest } from '../registry/registry-http.ts';
import { resumableDownload } from '../registry/resumable-download.ts';
import type { ReadArtifact } from './artifact-source.ts';
import { parseArtifactUrl } from './artifact-url.ts';

export interface UrlOptions {
  readonly connections: Connections;
  readonly idleTimeoutMs: number;
  /** The only server that is sent the token; undefined where none is. */
  readonly registryUrl: string | undefined;
  /** Read before every request, so that a rotated token is taken at once. */
  readonly token: () => Promise<string | undefined>;
  /** The first wait before another attempt, in ms; default 500. */
  readonly retryDelayMs?: number;
}

/** A longer `Retry-After` is not waited for: another source may have it. */
const maxRetryAfterMs = 15_000;

/** Artifacts by their URL alone: a file on a web server (https, or http on this machine), or here. */
export function readUrl(options: UrlOptions): ReadArtifact {
  const { idleTimeoutMs } = options;
  const http = new RegistryHttp({ ...options, maxRetryAfterMs });
  return (artifact, signal) => {
    const url = parseArtifactUrl(artifact.url);
    if (url.protocol === 'file:') return readFile(url, artifact);
    const request = () => requestFor(url, options, signal);
    return resumableDownload({ http, request, size: artifact.size_bytes, signal, idleTimeoutMs });
  };
}

/** The token goes to the registry's own server, whatever server a lock may name. */
async function requestFor(
  url: URL,
  { registryUrl, token }: UrlOptions,
  signal: AbortSignal,
): Promise<RegistryRequest> {
  const isRegistrys = isSameOrigin(url, registryUrl);
  const own = isRegistrys ? await token() : undefined;
  return {
    ...{ method: 'GET', url, signal },
    // As GitLab takes personal, project and group tokens; its other kinds have headers of their own.
    ...(own !== undefined && { authorization: { authorization: `Bearer ${own}` } }),
    context: {
      display: redactUrl(`${url.origin}${url.pathname}`),
      credentials: own === undefined ? 'no credentials' : 'MODULE_REGISTRY_TOKEN',
      hint: isRegistrys
        ? 'Check MODULE_REGISTRY_TOKEN: it has to be valid and have the scope read_package_registry (or read_api).'
        : 'MODULE_REGISTRY_TOKEN goes to the server of MODULE_REGISTRY_URL only: is that this one?',
    },
  };
}

async function* readFile(url: URL, artifact: LockArtifact): AsyncGenerator<Uint8Array> {
  if (url.host !== '') {
    throw badInput('unsupported-url', `${url.href} is on another machine, expected file:///…`);
  }
  const path = fileURLToPath(url);
  const found = await stat(path).catch((error: unknown) => {
    if (isAbsent(error)) throw environmentFailed('registry-not-found', `${path} is not there`);
    throw environmentFailed('registry-failed', `${path} cannot be read: ${String(error)}`);
  });
  // A pipe would be waited for, a device read for ever.
  if (!found.isFile()) throw environmentFailed('registry-failed', `${path} is not a file`);
  // One byte more than it may have says that it has too many.
  yield* createReadStream(path, { end: artifact.size_bytes });
}
