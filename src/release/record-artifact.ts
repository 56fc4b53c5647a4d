import type { GitRepository } from '../git/git-command.ts';
import { readManifestFiles, writeManifestFile } from '../git/manifest-files.ts';
import { type LockEntry, parseLock, samePin } from '../repo/lock.ts';
import { withLockEntry } from '../repo/lock-edit.ts';
import { lockFile } from '../repo/names.ts';
import { hasConflictMarkers } from '../repo/source-text.ts';
import type { FoundArtifact } from '../source/registry/registry.ts';

/** A released module: what locks pin of it. */
export interface ReleasedPin extends Pick<LockEntry, 'version' | 'sha256'> {
  readonly alias: string;
}

export interface RecordedArtifact {
  readonly ring: string;
  /** From the repository's top. */
  readonly file: string;
  /** `present`: the lock had it; `conflicted`: the lock is in the middle of a merge, and stays. */
  readonly outcome: 'written' | 'present' | 'conflicted';
}

/**
 * Writes `artifact` and `released_at` into the locks of the work tree that pin these very bytes; every
 * other byte of them stays. An artifact with the same digest stays, wherever it is, so that two who
 * release write the same.
 *
 * @param options.write false only decides
 */
export async function recordArtifact(
  repository: GitRepository,
  released: ReleasedPin,
  artifact: FoundArtifact,
  options: { readonly write: boolean },
): Promise<readonly RecordedArtifact[]> {
  const { lockTexts, rings } = await readManifestFiles(repository);
  const recorded: RecordedArtifact[] = [];
  for (const [ring, text] of lockTexts) {
    if (!rings.has(ring)) continue;
    const file = lockFile(ring);
    if (hasConflictMarkers(text)) {
      recorded.push({ ring, file, outcome: 'conflicted' });
      continue;
    }
    const entry = parseLock(text, ring).modules.get(released.alias);
    if (entry === undefined || !samePin(entry, released)) continue;
    const after = withArtifact(text, released.alias, entry, artifact);
    if (after !== text && options.write) await writeManifestFile(repository, file, after);
    recorded.push({ ring, file, outcome: after === text ? 'present' : 'written' });
  }
  return recorded;
}

function withArtifact(text: string, alias: string, entry: LockEntry, found: FoundArtifact): string {
  const { url, sha256, size_bytes, released_at } = found;
  const artifact = entry.artifact?.sha256 === sha256 ? entry.artifact : { url, sha256, size_bytes };
  const time = entry.artifact?.sha256 === sha256 ? (entry.released_at ?? released_at) : released_at;
  if (artifact === entry.artifact && time === entry.released_at) return text;
  return withLockEntry(text, alias, { ...entry, artifact, released_at: time });
}
