import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { badInput, environmentFailed } from '../../errors.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { isAbsent } from '../../store/disk-error.ts';
import type { ReadArtifact } from './artifact-source.ts';
import { parseArtifactUrl } from './artifact-url.ts';
import type { HttpOptions } from './http-options.ts';
import { readHttp } from './read-http.ts';

/** Artifacts by their URL alone: a file on a web server (https, or http on this machine), or here. */
export function readUrl(options: HttpOptions): ReadArtifact {
  return (artifact, signal) => {
    const url = parseArtifactUrl(artifact.url);
    return url.protocol === 'file:' ? readFile(url, artifact) : readHttp(url, options, signal);
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
