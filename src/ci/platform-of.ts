import { RinglockError } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { type PlatformSnapshot, readPlatform } from '../git/platform-snapshot.ts';
import { commitTree } from '../git/tree-snapshot.ts';

/** A commit from before the platform was one, or with a broken file, is none. */
export async function platformOf(
  repository: GitRepository,
  commit: string | undefined,
): Promise<PlatformSnapshot | undefined> {
  if (commit === undefined) return undefined;
  try {
    return await readPlatform(repository, await commitTree(repository, commit));
  } catch (error) {
    if (error instanceof RinglockError && error.exitCode !== 3) return undefined;
    throw error;
  }
}
