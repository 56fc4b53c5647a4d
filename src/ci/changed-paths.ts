import { type GitRepository, runGitBytes } from '../git/git-command.ts';

/**
 * The paths in which two commits differ; a file that was renamed counts at both places.
 *
 * @param base undefined: every path of `head`
 */
export async function changedPaths(
  { topLevel }: GitRepository,
  base: string | undefined,
  head: string,
): Promise<string[]> {
  const args =
    base === undefined
      ? ['ls-tree', '-r', '-z', '--full-tree', '--name-only', head]
      : ['diff-tree', '-r', '-z', '--name-only', '--no-renames', base, head];
  return (await runGitBytes(topLevel, args)).toString().split('\0').filter(Boolean);
}
