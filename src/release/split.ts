import { badInput } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { readCommittedModules, selectModules } from './committed-modules.ts';
import { expandPrefixes } from './prefixes.ts';
import { writeSplitBranches } from './split-branches.ts';
import { commitOf, type Split, splitHistory } from './split-history.ts';

export interface SplitRequest {
  readonly aliases: readonly string[];
  readonly all: boolean;
  readonly prefixes: readonly string[];
  /** The revision that is split. */
  readonly revision: string;
  readonly since: string | undefined;
  /** A pattern of branch names, or undefined for no refs. */
  readonly branch: string | undefined;
}

export interface DoneSplit extends Split {
  /** The module's alias, or the directory as it was asked for. */
  readonly name: string;
  /** The branch that points to it now. */
  readonly branch: string | undefined;
}

/**
 * Splits modules, or any directories, and points branches at them where that is asked for.
 *
 * @throws RinglockError `nothing-to-split`, `unknown-revision`, `unknown-module`, and what splitHistory()
 *   and writeSplitBranches() throw
 */
export async function splitDirectories(
  repository: GitRepository,
  request: SplitRequest,
): Promise<DoneSplit[]> {
  const tip = await commitOf(repository, request.revision);
  const since = request.since === undefined ? undefined : await commitOf(repository, request.since);
  const named = await nameDirectories(repository, tip, request);
  const splits = await splitHistory(repository, [...named.keys()], { tip, since });
  const wanted = splits
    .filter(({ commit, before }) => since === undefined || commit !== before)
    .map((split) => ({ ...split, name: named.get(split.directory) ?? split.directory }));
  if (request.branch === undefined) return wanted.map((split) => ({ ...split, branch: undefined }));
  return writeSplitBranches(repository, wanted, request.branch);
}

/** Name by directory. */
async function nameDirectories(
  repository: GitRepository,
  tip: string,
  { aliases, all, prefixes }: SplitRequest,
): Promise<Map<string, string>> {
  const kinds = [aliases.length > 0, all, prefixes.length > 0].filter(Boolean).length;
  if (kinds !== 1) {
    throw badInput(
      'nothing-to-split',
      kinds === 0
        ? 'nothing is named to be split'
        : 'aliases, --all and --prefix do not go together',
      { hint: 'Name modules, or give --all, or --prefix DIR.' },
    );
  }
  if (prefixes.length > 0) {
    const directories = await expandPrefixes(repository, tip, prefixes);
    return new Map(directories.map((directory) => [directory, directory]));
  }
  const { modules } = await readCommittedModules(repository, tip);
  return new Map(selectModules(modules, aliases).map(({ path, alias }) => [path, alias]));
}
