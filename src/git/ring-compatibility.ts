import { findCycles, findIncompatibilities, type GraphModules } from '../repo/graph.ts';
import { parseLock } from '../repo/lock.ts';
import type { GitRepository } from './git-command.ts';
import { requireRing } from './manifest-files.ts';
import type { OpenPackages } from './package-source.ts';
import { readPinnedModules } from './pinned-modules.ts';
import { graphModuleOf, type PlatformSnapshot } from './platform-snapshot.ts';
import { pinnedGraph } from './verify-ring.ts';

export interface ModuleCompatibility {
  readonly alias: string;
  readonly version: string;
  /** The platform range, or null when the module names none. */
  readonly range: string | null;
  readonly compatible: boolean;
  /** Why not, in words. */
  readonly reasons: readonly string[];
  /** False where that could not be found out: its registry is away. */
  readonly known: boolean;
}

export interface Compatibility {
  readonly platform: string;
  /** Sorted by alias. */
  readonly modules: readonly ModuleCompatibility[];
  /** Each as its members in dependency order. */
  readonly cycles: readonly (readonly string[])[];
}

/**
 * Whether modules run on the platform together: those of `modules/` on `VERSION`, or those that a
 * ring's lock pins on its own platform.
 *
 * @throws RinglockError `unknown-ring`, and what the lock's parser throws
 */
export async function readCompatibility(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  ringName: string | undefined,
  openPackages: OpenPackages,
): Promise<Compatibility> {
  const ring = ringName === undefined ? undefined : requireRing(snapshot, ringName).ring;
  if (ring === undefined || (ring.tracking && ring.holds.size === 0)) {
    const graph = [...snapshot.modules].map(
      ([alias, module]) => [alias, graphModuleOf(module)] as const,
    );
    return judge(new Map(graph), snapshot.platform, new Map());
  }
  const lock = parseLock(snapshot.lockTexts.get(ring.name) ?? emptyLock(snapshot), ring.name);
  const { maxFiles } = snapshot.settings;
  const pinned = await readPinnedModules(
    repository,
    lock,
    maxFiles,
    openPackages(snapshot, repository),
  );
  const unread = [...pinned].flatMap(([alias, { manifest, problem }]) => {
    const version = lock.modules.get(alias)?.version;
    if (manifest !== undefined || version === undefined) return [];
    const known = problem?.exitCode !== 3;
    return [[alias, { version, message: problem?.message ?? '', known }] as const];
  });
  return judge(pinnedGraph(pinned, lock), lock.platform, new Map(unread));
}

function emptyLock({ platform }: PlatformSnapshot): string {
  return JSON.stringify({ platform, modules: {} });
}

/** @param unread modules whose ranges are not known, with the reason */
function judge(
  graph: GraphModules,
  platform: string,
  unread: ReadonlyMap<string, Pick<ModuleCompatibility, 'version' | 'known'> & { message: string }>,
): Compatibility {
  const reasons = new Map<string, string[]>();
  for (const { alias, message } of findIncompatibilities(graph, platform)) {
    reasons.set(alias, [...(reasons.get(alias) ?? []), message]);
  }
  const read = [...graph].filter(([alias]) => !unread.has(alias));
  const known = read.map(([alias, { version, platformRange }]) => ({
    alias,
    version,
    range: platformRange ?? null,
    compatible: !reasons.has(alias),
    reasons: reasons.get(alias) ?? [],
    known: true,
  }));
  const unknown = [...unread].map(([alias, { version, message, known }]) => ({
    alias,
    version,
    range: null,
    compatible: false,
    reasons: [message],
    known,
  }));
  const modules = [...known, ...unknown].sort((a, b) => (a.alias < b.alias ? -1 : 1));
  return { platform, modules, cycles: findCycles(graph) };
}
