import { dirname } from 'node:path';
import { badInput } from '../errors.ts';
import { type GitRepository, runGit, runGitBytes, tryGit } from './git-command.ts';

/** A commit to be made on top of another one, without work tree or index. */
export interface FileCommit {
  readonly parent: string;
  /** A file that the parent has, one folder deep: `manifests/edge.lock.json`. */
  readonly path: string;
  readonly text: string;
  readonly message: string;
}

/**
 * Commits one file's new text on top of a commit, signed where git is set up to sign commits; nothing but
 * objects is written.
 *
 * @returns the commit's id
 * @throws RinglockError `git-failed`, `no-such-file`
 */
export async function commitFile(
  repository: GitRepository,
  { parent, path, text, message }: FileCommit,
): Promise<string> {
  const { topLevel } = repository;
  const blob = await runGit(topLevel, ['hash-object', '-w', '--stdin'], { input: text });
  const folder = dirname(path);
  const inner = await replaceEntry(repository, `${parent}:${folder}`, path, blob);
  const tree = await replaceEntry(repository, `${parent}^{tree}`, folder, inner);
  const sign = (await isSigning(repository)) ? ['-S'] : [];
  return runGit(topLevel, ['commit-tree', ...sign, '-p', parent, '-F', '-', tree], {
    input: message,
  });
}

/** The same tree with another object under one name. */
async function replaceEntry(
  { topLevel }: GitRepository,
  tree: string,
  path: string,
  oid: string,
): Promise<string> {
  const name = path.split('/').at(-1) ?? path;
  const listed = (await runGitBytes(topLevel, ['ls-tree', '-z', tree])).toString('latin1');
  let isThere = false;
  const entries = listed.split('\0').map((entry) => {
    const tab = entry.indexOf('\t');
    if (tab === -1 || entry.slice(tab + 1) !== name) return entry;
    isThere = true;
    const [mode, type] = entry.split(' ', 2);
    return `${mode} ${type} ${oid}\t${name}`;
  });
  if (!isThere) throw badInput('no-such-file', `${tree} has no ${path}`);
  // Names are bytes, which need not be UTF-8.
  const input = Buffer.from(entries.join('\0'), 'latin1');
  return runGit(topLevel, ['mktree', '-z', '--missing'], { input });
}

/** Whether git is set up to sign every commit; `commit-tree` asks nobody. */
export async function isSigning({ topLevel }: GitRepository): Promise<boolean> {
  const { stdout } = await tryGit(topLevel, ['config', '--type=bool', 'commit.gpgSign']);
  return stdout.toString().trim() === 'true';
}
