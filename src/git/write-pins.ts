import { refused } from '../errors.ts';
import { commitCommand, commitFiles, refuseEdited } from './commit-files.ts';
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
 * Makes a plan's tags, writes its files into the work tree, and commits exactly those when asked. In this
 * order, so that whatever fails in between leaves no lock that pins a tree which nothing keeps, and no
 * rolled back lock without the hold that keeps it there.
 *
 * @throws RinglockError before anything is written: `file-changed` when a commit would take along edits of
 *   somebody else, `tag-exists` when a tag is at another commit. `git-failed` when a hook refuses the
 *   commit: the files stay written
 */
export async function writePins(
  repository: GitRepository,
  plan: PinPlan,
  message: string,
  options: { readonly commit: boolean },
): Promise<WrittenPins> {
  const paths = [...plan.files.keys()];
  if (options.commit) await refuseEdited(repository, paths);
  await makeTags(repository, plan.tags);
  // A hold comes after its lock in the plan.
  for (const [path, text] of [...plan.files].reverse()) {
    await writeManifestFile(repository, path, text);
  }
  const pushed = [...plan.tags.keys()].map((name) => `git push origin ${name}`);
  if (!options.commit) {
    return { message, commit: undefined, next: [commitCommand(message, paths), ...pushed] };
  }
  const commit = await commitFiles(repository, paths, message);
  return { message, commit, next: [...pushed, 'git push'] };
}

/** All or none; by update-ref, since `git tag` would sign them where a person's settings say so. */
async function makeTags(
  { topLevel }: GitRepository,
  tags: ReadonlyMap<string, string>,
): Promise<void> {
  let input = '';
  for (const [name, commit] of tags) {
    const ref = `refs/tags/${name}`;
    const peeled = ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`];
    const there = (await tryGit(topLevel, peeled)).stdout.toString().trim();
    if (there === '') input += `create ${ref} ${commit}\n`;
    else if (there !== commit) throw tagExists(name, there, commit);
  }
  if (input !== '') await runGit(topLevel, ['update-ref', '--stdin'], { input });
}

function tagExists(name: string, there: string, commit: string) {
  return refused(
    'tag-exists',
    `the tag ${name} is at ${there}, expected ${commit}, which has the version's bytes`,
    {
      hint: `A tag never moves by itself: see which is right (git show ${name}), and delete it if it is the wrong one.`,
      details: { tag: name, existing: there, expected: commit },
    },
  );
}
