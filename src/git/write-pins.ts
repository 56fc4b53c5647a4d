import { refused } from '../errors.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';
import { writeManifestFile } from './manifest-files.ts';
import type { PinPlan } from './pin-modules.ts';

export interface WrittenPins {
  /** The message that the change has, or should get. */
  readonly message: string;
  /** The commit that was made; undefined without `commit`. */
  readonly commit: string | undefined;
  /** What is left to do, as commands. */
  readonly next: readonly string[];
}

/**
 * Writes a plan into the work tree, makes its tags, and commits exactly its files when asked.
 *
 * @throws RinglockError `file-changed` before anything is written, when a commit would take along
 *   edits of somebody else; `git-failed` when a hook refuses the commit: the files stay written
 */
export async function writePins(
  repository: GitRepository,
  plan: PinPlan,
  message: string,
  options: { readonly commit: boolean },
): Promise<WrittenPins> {
  const { topLevel } = repository;
  const paths = [...plan.files.keys()];
  if (options.commit) await refuseEdited(repository, paths);
  for (const [path, text] of plan.files) await writeManifestFile(repository, path, text);
  for (const [name, commit] of plan.tags) await runGit(topLevel, ['tag', '--', name, commit]);
  const pushed = [...plan.tags.keys()].map((name) => `git push origin ${name}`);
  if (!options.commit) {
    const subject = JSON.stringify(message.split('\n', 1)[0]);
    const next = [`git commit -m ${subject} -- ${paths.join(' ')}`, ...pushed];
    return { message, commit: undefined, next };
  }
  // By --only: what else is staged stays staged.
  await runGit(topLevel, ['commit', '-q', '-F', '-', '--only', '--', ...paths], { input: message });
  const commit = await runGit(topLevel, ['rev-parse', 'HEAD']);
  return { message, commit, next: [...pushed, 'git push'] };
}

async function refuseEdited({ topLevel }: GitRepository, paths: readonly string[]): Promise<void> {
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
