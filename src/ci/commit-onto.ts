import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isSigning } from '../git/commit-file.ts';
import { type GitRepository, runGit, tryGit } from '../git/git-command.ts';

/**
 * A commit on top of another with some files replaced, signed where git is set up to sign commits, made of
 * objects alone: neither HEAD nor the index nor the work tree changes.
 *
 * @param files text by path from the repository's top
 * @param identity see committerOf()
 * @returns the new commit
 */
export async function commitOnto(
  repository: GitRepository,
  parent: string,
  files: ReadonlyMap<string, string>,
  message: string,
  identity: Readonly<Record<string, string>>,
): Promise<string> {
  const tree = await treeWithFiles(repository, parent, files);
  const sign = (await isSigning(repository)) ? ['-S'] : [];
  const args = ['commit-tree', ...sign, '-p', parent, '-F', '-', tree];
  return runGit(repository.topLevel, args, { env: identity, input: message });
}

/**
 * A commit's tree with some files replaced.
 *
 * @param files text by path from the repository's top; undefined takes the file out
 */
export async function treeWithFiles(
  { topLevel }: GitRepository,
  commit: string,
  files: ReadonlyMap<string, string | undefined>,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ringlock-commit-'));
  const env = { GIT_INDEX_FILE: join(directory, 'index') };
  try {
    await runGit(topLevel, ['read-tree', commit], { env });
    for (const [path, text] of files) {
      if (text === undefined) {
        await runGit(topLevel, ['update-index', '--force-remove', '--', path], { env });
        continue;
      }
      const blob = await runGit(topLevel, ['hash-object', '-w', '--stdin'], { input: text });
      const entry = `100644,${blob},${path}`;
      await runGit(topLevel, ['update-index', '--add', '--cacheinfo', entry], { env });
    }
    return await runGit(topLevel, ['write-tree'], { env });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Variables for a git that makes a commit: none where git knows who the user is, else, as on a runner,
 * whoever the pipeline says has started it.
 */
export async function committerOf(
  { topLevel }: GitRepository,
  environment: NodeJS.ProcessEnv,
): Promise<Record<string, string>> {
  const known = await tryGit(topLevel, ['var', 'GIT_COMMITTER_IDENT']);
  if (known.status === 0) return {};
  const actor = environment['GITHUB_ACTOR'];
  const name = environment['GITLAB_USER_NAME'] || actor || 'ringlock';
  const email =
    environment['GITLAB_USER_EMAIL'] ||
    (actor ? `${actor}@users.noreply.github.com` : 'ringlock@localhost');
  return {
    ...{ GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email },
    ...{ GIT_COMMITTER_NAME: name, GIT_COMMITTER_EMAIL: email },
  };
}
