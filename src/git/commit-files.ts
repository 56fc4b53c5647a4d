import { refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';

/**
 * Refuses files that a commit would take along with edits of somebody else in them.
 *
 * @param paths from the repository's top
 * @throws RinglockError `file-changed`
 */
export async function refuseEdited(
  { topLevel }: GitRepository,
  paths: readonly string[],
): Promise<void> {
  const { status, stdout } = await tryGit(topLevel, [
    'diff',
    '--name-only',
    'HEAD',
    '--',
    ...paths,
  ]);
  const edited = stdout.toString().split('\n').filter(Boolean);
  if (status !== 0 || edited.length === 0) return;
  throw refused(
    'file-changed',
    `${edited.join(', ')} has changes that are not committed, --commit would take them along`,
    { hint: 'Commit or restore them first, or leave --commit out.' },
  );
}

/**
 * Commits exactly these files as the work tree has them, or no longer has them.
 *
 * @param paths from the repository's top
 * @returns the commit
 * @throws RinglockError `git-failed` when a hook refuses the commit: the files stay as they are
 */
export async function commitFiles(
  { topLevel }: GitRepository,
  paths: readonly string[],
  message: string,
): Promise<string> {
  // By --only: what else is staged stays staged.
  await runGit(topLevel, ['commit', '-q', '-F', '-', '--only', '--', ...paths], { input: message });
  return runGit(topLevel, ['rev-parse', 'HEAD']);
}

/** The command that commits files as they are, for whoever does it by hand. */
export function commitCommand(message: string, paths: readonly string[]): string {
  return `git commit -m ${JSON.stringify(message.split('\n', 1)[0])} -- ${paths.join(' ')}`;
}
