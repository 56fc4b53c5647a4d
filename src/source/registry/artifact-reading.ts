import { RinglockError } from '../../errors.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import type { Registry } from './registry.ts';
import { verifiedBytes } from './verified-bytes.ts';

/**
 * The verified bytes of an artifact; when it is not there, the error says which versions are.
 *
 * @param alias whose artifact it is by its URL
 */
export async function* readArtifact(
  registry: Pick<Registry, 'versions'>,
  alias: string,
  artifact: LockArtifact,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* verifiedBytes(bytes, artifact);
  } catch (error) {
    const isMissing = error instanceof RinglockError && error.code === 'registry-not-found';
    if (!isMissing) throw error;
    const versions = await registry.versions(alias).catch(() => []);
    throw withVersions(error, alias, versions);
  }
}

function withVersions(error: RinglockError, alias: string, versions: readonly string[]) {
  const { code, exitCode, message, hint, details } = error;
  const there = versions.length === 0 ? 'none' : versions.join(', ');
  const hints = [`Versions of ${alias} there: ${there}.`, ...(hint === undefined ? [] : [hint])];
  return new RinglockError(code, exitCode, message, {
    cause: error,
    hint: hints.join('\n'),
    details: { ...details, versions },
  });
}
