import { type InstalledModule, plan, type Step } from '../plan/plan.ts';
import type { GraphModules } from '../repo/graph.ts';
import type { Lock } from '../repo/lock.ts';

/** What a ring changes when it goes from one lock to another, in order, whatever a disk has. */
export function changedSteps(
  before: Lock | undefined,
  after: Lock,
  graph: GraphModules,
  installedGraph: GraphModules,
): readonly Step[] {
  const installed = installedModules(before, new Map());
  const policy = { incompatible: 'skip' as const, maxRemovals: 1 };
  const { platform } = after;
  return plan({ lock: after, installed, platform, graph, installedGraph, policy }).steps;
}

/** A lock as what is installed. @param drift alias → what differs on disk */
export function installedModules(
  lock: Lock | undefined,
  drift: ReadonlyMap<string, string>,
): Map<string, InstalledModule> {
  return new Map(
    [...(lock?.modules ?? [])].map(([alias, entry]) => {
      const found = drift.get(alias);
      const installed = {
        version: entry.version,
        sha256: entry.sha256,
        directory: entry.directory ?? alias,
        ...(found !== undefined && { drift: found }),
      };
      return [alias, installed];
    }),
  );
}
