import { createHash } from 'node:crypto';
import { refused } from '../../errors.ts';
import { redactUrl } from '../../redaction.ts';
import type { LockArtifact } from '../../repo/lock.ts';

/**
 * The same bytes; fails as soon as there are too many, and at their end when they are not the artifact's.
 *
 * @throws RinglockError `artifact-mismatch`
 */
export async function* verifiedBytes(
  chunks: AsyncIterable<Uint8Array>,
  artifact: LockArtifact,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > artifact.size_bytes) {
      throw mismatch(artifact, `more than ${artifact.size_bytes} bytes`);
    }
    hash.update(chunk);
    yield chunk;
  }
  const sha256 = `sha256:${hash.digest('hex')}`;
  if (sha256 === artifact.sha256 && bytes === artifact.size_bytes) return;
  throw mismatch(artifact, `${sha256} (${bytes} bytes)`, sha256);
}

function mismatch({ url, sha256, size_bytes }: LockArtifact, found: string, foundDigest?: string) {
  return refused(
    'artifact-mismatch',
    `${redactUrl(url)} has other bytes than it should: found ${found}, expected ${sha256} (${size_bytes} bytes)`,
    {
      hint: 'Nothing of it was used. It was changed where it is kept, or on the way: ask again; if it stays so, compare with another registry, delete it there and release the version again.',
      details: {
        source: redactUrl(url),
        expected: sha256,
        ...(foundDigest && { found: foundDigest }),
      },
    },
  );
}
