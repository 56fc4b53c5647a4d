import type { CommitList } from './read-history.ts';
import { emptyPlan, type SplitPlan } from './split-plan.ts';

/** All that is known of the splits of a repository: nothing in it changes, there only comes more. */
export interface SplitState {
  /** Commits of the whole history, parents before children; of rewritten branches too. */
  readonly commits: CommitList;
  /** Where each commit stands in the list. */
  readonly numbers: Map<string, number>;
  /** Commits with a `git-subtree-dir:` trailer, and the directory that it names. */
  readonly trailers: { readonly commit: number; readonly directory: string }[];
  /** By directory. A plan may end before the list of commits does. */
  readonly directories: Map<string, DirectorySplit>;
}

export interface DirectorySplit {
  readonly plan: SplitPlan;
  /** The id of each split commit of the plan, empty while it is not known. */
  readonly ids: string[];
}

export function emptyState(): SplitState {
  return {
    commits: { oids: [], parents: [] },
    numbers: new Map(),
    trailers: [],
    directories: new Map(),
  };
}

export function emptySplit(): DirectorySplit {
  return { plan: emptyPlan(), ids: [''] };
}

/** The commits of a list that no other one has for its parent. */
export function headsOf({ oids, parents }: CommitList): string[] {
  const inside = new Set(parents.flat());
  return oids.filter((_, commit) => !inside.has(commit));
}
