import { commitCommand, commitFiles, refuseEdited } from './commit-files.ts';
import { type GitRepository, runGit } from './git-command.ts';
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
    return { message, commit: undefined, next: [commitCommand(message, paths), ...pushed] };
  }
  const commit = await commitFiles(repository, paths, message);
  return { message, commit, next: [...pushed, 'git push'] };
}
