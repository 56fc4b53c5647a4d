export interface AncestryGraph {
  readonly parents: (readonly number[])[];
  /** One more than the greatest of the parents' heights. */
  readonly heights: number[];
}

/** Whether a commit is another one, or reachable from it. What is no higher than it is not looked at. */
export function isAncestor(graph: AncestryGraph, commit: number, of: number): boolean {
  if (commit === of) return true;
  const height = graph.heights[commit] ?? 0;
  const seen = new Set<number>();
  const waiting = [of];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const parent of graph.parents[next] ?? []) {
      if (parent === commit) return true;
      if ((graph.heights[parent] ?? 0) <= height || seen.has(parent)) continue;
      seen.add(parent);
      waiting.push(parent);
    }
  }
  return false;
}

/** A commit and all that is reachable from it. */
export function reachable(graph: AncestryGraph, commit: number): Set<number> {
  const seen = new Set([commit]);
  const waiting = [commit];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const parent of graph.parents[next] ?? []) {
      if (seen.has(parent)) continue;
      seen.add(parent);
      waiting.push(parent);
    }
  }
  return seen;
}
