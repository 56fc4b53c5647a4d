import { constants, existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { badInput, type RinglockError, refused } from '../errors.ts';
import { manifestsDirectory, platformFile, settingsFile } from '../repo/names.ts';
import { parseSettings } from '../repo/settings.ts';
import {
  type GitOutcome,
  type GitRepository,
  gitFailed,
  runGit,
  runGitBytes,
  tryGit,
} from './git-command.ts';

/**
 * The tree of what is staged; `add -N` files, which have no content yet, are not in it.
 * Respects GIT_INDEX_FILE, which `git commit -a` and `git commit <path>` set for hooks.
 *
 * @throws RinglockError `unmerged-index`
 */
export function indexTree(repository: GitRepository): Promise<string> {
  return withIndexCopy(repository, (env) => writeTree(repository, env));
}

/**
 * The tree that `git add -A` and a commit would make of the package roots, manifests/ and VERSION:
 * filters, .gitignore and line-ending settings apply, and the real index is not touched.
 *
 * @throws RinglockError `unmerged-index` when a module has a merge conflict
 */
export async function workTree(repository: GitRepository): Promise<string> {
  const roots = await rootsOnDisk(repository);
  const [tree] = await Promise.all([
    withIndexCopy(repository, async (env) => {
      const paths = [...roots, manifestsDirectory, platformFile];
      const present = paths.filter((path) => existsSync(join(repository.topLevel, path)));
      const absent = paths.filter((path) => !present.includes(path));
      const git = (args: readonly string[]) => runGit(repository.topLevel, args, { env });
      if (absent.length > 0) {
        await git(['rm', '-r', '-q', '--cached', '--ignore-unmatch', '--', ...absent]);
      }
      // A split index would write its shared half into the real git directory.
      if (present.length > 0)
        await git(['-c', 'core.splitIndex=false', 'add', '-A', '--', ...present]);
      return writeTree(repository, env);
    }),
    refuseUnmerged(repository, roots),
  ]);
  return tree;
}

/** The tree of a commit. @throws RinglockError `unknown-revision` */
export async function commitTree(repository: GitRepository, revision: string): Promise<string> {
  const { status, stdout } = await tryGit(repository.topLevel, [
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${revision}^{tree}`,
  ]);
  if (status === 0) return stdout.toString().trim();
  throw badInput('unknown-revision', `${revision} is not a commit of this repository`, {
    hint: 'Fetch it, or name another branch, tag or commit.',
  });
}

/** Where the index of this invocation is. */
export function indexFile(repository: GitRepository): string {
  const fromHook = process.env['GIT_INDEX_FILE'];
  return fromHook ? resolve(repository.topLevel, fromHook) : join(repository.gitDir, 'index');
}

/**
 * Works on a copy, since write-tree locks the index and stores its trees in it, and another git
 * command may hold that lock.
 */
async function withIndexCopy<T>(
  repository: GitRepository,
  use: (env: Record<string, string>) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'ringlock-index-'));
  try {
    const copy = join(directory, 'index');
    await copyIndex(indexFile(repository), copy);
    return await use({ GIT_INDEX_FILE: copy });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A repository where nothing was ever added has no index. */
async function copyIndex(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    // git takes a file for unchanged only when it is older than the index ("racy git"): a copy that
    // looked newer than it is would hide an edit made in the same instant as the last `git add`.
    const modified = Math.floor((await stat(from)).mtimeMs) / 1000;
    await utimes(to, modified, modified);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

async function writeTree(
  repository: GitRepository,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const outcome = await tryGit(repository.topLevel, ['write-tree'], { env });
  if (outcome.status === 0) return outcome.stdout.toString().trim();
  throw unmergedIn(outcome) ?? gitFailed(['write-tree'], outcome);
}

function unmergedIn({ stderr }: GitOutcome): RinglockError | undefined {
  const paths = [...stderr.matchAll(/^(?:error: )?(.+): unmerged \([0-9a-f]+\)$/gm)];
  return paths.length === 0 ? undefined : unmergedIndex(paths.map((match) => match[1] ?? ''));
}

async function rootsOnDisk({ topLevel }: GitRepository): Promise<readonly string[]> {
  const file = join(topLevel, settingsFile);
  return parseSettings(existsSync(file) ? await readFile(file, 'utf8') : '').roots;
}

async function refuseUnmerged(repository: GitRepository, roots: readonly string[]): Promise<void> {
  const listed = await runGitBytes(repository.topLevel, ['ls-files', '-u', '-z', '--', ...roots]);
  const entries = listed.toString().split('\0').filter(Boolean);
  if (entries.length > 0)
    throw unmergedIndex(entries.map((entry) => entry.split('\t', 2)[1] ?? ''));
}

function unmergedIndex(paths: readonly string[]): RinglockError {
  const unique = [...new Set(paths)];
  return refused('unmerged-index', `${unique.join(', ')} has a merge conflict`, {
    hint: 'Resolve it and `git add` it, then run this again.',
    details: { paths: unique },
  });
}
