import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type RinglockError, refused } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { diskFailed } from '../../store/disk-error.ts';

/**
 * Writes an artifact to a new file, counting and digesting what comes; nothing is read on once it is more
 * than the lock says.
 *
 * @param options.label what messages call it
 * @param options.limit bytes that it may have whatever the lock says
 * @throws RinglockError `artifact-mismatch` with what was expected and what came, `disk-full` and its like,
 *   whatever `bytes` throws
 */
export async function downloadArtifact(
  bytes: AsyncIterable<Uint8Array>,
  artifact: LockArtifact,
  path: string,
  { label, limit }: { readonly label: string; readonly limit: number },
): Promise<void> {
  if (artifact.size_bytes > limit) {
    throw mismatch(artifact, label, `is ${artifact.size_bytes} bytes, expected at most ${limit}`);
  }
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      let length = 0;
      for await (const chunk of bytes) {
        length += chunk.length;
        if (length > artifact.size_bytes) throw tooLong(artifact, label);
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      requireArtifact(artifact, label, length, hash.digest('hex'));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw diskFailed(error, path);
  }
}

function requireArtifact(
  artifact: LockArtifact,
  label: string,
  length: number,
  digest: string,
): void {
  if (length !== artifact.size_bytes) {
    const found = `has ${length} bytes, the lock says ${artifact.size_bytes}`;
    throw mismatch(artifact, label, found, { found_bytes: length });
  }
  const found = `sha256:${digest}`;
  if (found === artifact.sha256) return;
  const what = `has the digest ${found}, the lock says ${artifact.sha256}`;
  throw mismatch(artifact, label, what, { found });
}

function tooLong(artifact: LockArtifact, label: string): RinglockError {
  return mismatch(
    artifact,
    label,
    `has more than the ${artifact.size_bytes} bytes that the lock says`,
  );
}

function mismatch(
  { url, sha256, size_bytes }: LockArtifact,
  label: string,
  what: string,
  found: Readonly<Record<string, unknown>> = {},
): RinglockError {
  const display = redactUrl(url);
  return refused('artifact-mismatch', `${label} from ${display} ${what}`, {
    hint: 'Nothing of it was kept. It was changed where it lies, or on the way: look there, or release the version again under another number.',
    details: { url: display, expected: sha256, expected_bytes: size_bytes, ...found },
  });
}
