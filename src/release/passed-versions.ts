import type { GitRepository } from '../git/git-command.ts';
import { readGitRecords } from '../git/git-records.ts';
import type { ReleasedBytes } from '../git/released-walk.ts';

/**
 * Versions that a lock pinned between two commits of a split, where several were released since the
 * mirror was last pushed to: each with the split commit that has exactly the tree of the lock. Versions
 * that only a branch had, before it was merged, are none.
 *
 * @param released of this module, by version
 * @param former where the mirror is
 * @returns commit by version
 */
export async function passedVersions(
  repository: GitRepository,
  released: ReadonlyMap<string, ReleasedBytes | undefined>,
  former: string,
  commit: string,
): Promise<Map<string, string>> {
  const versionOf = new Map<string, string>();
  for (const [version, bytes] of released) {
    if (bytes !== undefined && bytes.tree !== null) versionOf.set(bytes.tree, version);
  }
  const found = new Map<string, string>();
  const args = ['log', '-z', '--no-show-signature', '--no-notes', '--format=%H %T'];
  const take = (record: Buffer): void => {
    const [oid = '', tree = ''] = record.toString('latin1').split(' ');
    const version = versionOf.get(tree);
    // Newest first: the oldest with this tree stays.
    if (version !== undefined) found.set(version, oid);
  };
  await readGitRecords(repository, [...args, `${former}..${commit}`], '\0', take);
  return found;
}
