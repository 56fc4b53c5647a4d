import { type AncestryGraph, isAncestor } from './split-ancestry.ts';

/**
 * The commits that a directory's history is made of, by number from 1 on, before they have ids. The
 * columns belong together: `trees[n]`, `parents[n]`… are those of commit n; column 0 is unused.
 */
export interface SplitCommits extends AncestryGraph {
  /** The directory's tree. */
  readonly trees: string[];
  readonly parents: (readonly number[])[];
  /** Which commit of the whole history it is a copy of, by that one's number. */
  readonly sources: number[];
  /** One more than the greatest of the parents' heights. */
  readonly heights: number[];
}

/** What became of one directory in every commit of a history, as far as it was looked at. */
export interface SplitPlan extends SplitCommits {
  /**
   * By the number of a commit of the whole history: 0 where the directory never was, n where it is as in
   * split commit n, -n where it was deleted and `gone[n]` are the last split commits before that.
   */
  readonly map: number[];
  readonly gone: (readonly number[])[];
}

export function emptyPlan(): SplitPlan {
  return { map: [], gone: [[]], trees: [''], parents: [[]], sources: [-1], heights: [0] };
}

/**
 * Goes on by the next commit of a history, whose parents are in the plan: the rules of `git subtree split`
 * (copy_or_skip of git-subtree.sh), but for a commit that has no such directory while its parents
 * have a split. git takes that commit itself, with all of the repository's files, for the split's parent;
 * here the split commits before the deletion stand in its place (decision 0021).
 *
 * @param parents numbers of the commit's parents
 * @param tree the directory's tree in it, or undefined when there is none
 */
export function addCommit(
  plan: SplitPlan,
  parents: readonly number[],
  tree: string | undefined,
): void {
  const commit = plan.map.length;
  const before = splitParents(plan, parents);
  if (tree !== undefined) plan.map.push(copyOrSkip(plan, commit, tree, before));
  else if (before.length === 0) plan.map.push(0);
  else plan.map.push(markGone(plan, parents, before));
}

/** The split commits that parents became, each once, in the order of the parents. */
function splitParents(plan: SplitPlan, parents: readonly number[]): number[] {
  if (parents.length === 1) {
    const only = plan.map[parents[0] ?? -1] ?? 0;
    if (only > 0) return [only];
    return only === 0 ? [] : [...(plan.gone[-only] ?? [])];
  }
  const living = new Set<number>();
  const all = new Set<number>();
  for (const parent of parents) {
    const became = plan.map[parent] ?? 0;
    if (became > 0) living.add(became);
    if (became > 0) all.add(became);
    else if (became < 0) for (const last of plan.gone[-became] ?? []) all.add(last);
  }
  // What another parent continues is no end of its own: only a deletion can bring such a one.
  const isEnd = (one: number) =>
    living.has(one) || ![...all].some((other) => other !== one && isAncestor(plan, one, other));
  return [...all].filter(isEnd);
}

function markGone(plan: SplitPlan, parents: readonly number[], before: readonly number[]): number {
  const [first] = parents;
  const former = parents.length === 1 && first !== undefined ? (plan.map[first] ?? 0) : 0;
  if (former < 0) return former;
  plan.gone.push(before);
  return 1 - plan.gone.length;
}

function copyOrSkip(
  plan: SplitPlan,
  commit: number,
  tree: string,
  before: readonly number[],
): number {
  let identical = 0;
  let other = 0;
  let isCopied = false;
  for (const parent of before) {
    if (plan.trees[parent] !== tree) other = parent;
    else if (identical === 0 || isAncestor(plan, identical, parent)) identical = parent;
    else if (!isAncestor(plan, parent, identical)) isCopied = true;
  }
  // The history along the other parent would be lost.
  if (identical !== 0 && other !== 0 && !isAncestor(plan, other, identical)) isCopied = true;
  if (identical !== 0 && !isCopied) return identical;
  plan.trees.push(tree);
  plan.parents.push(before);
  plan.sources.push(commit);
  plan.heights.push(1 + Math.max(0, ...before.map((parent) => plan.heights[parent] ?? 0)));
  return plan.trees.length - 1;
}
