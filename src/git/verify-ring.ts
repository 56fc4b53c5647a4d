import { findIncompatibilities, type GraphModule, type GraphModules } from '../repo/graph.ts';
import { type Lock, parseLock } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';
import type { Ring } from '../repo/ring.ts';
import { findDeployRefs } from './deploy-branch.ts';
import type { GitRepository } from './git-command.ts';
import { requireRing } from './manifest-files.ts';
import { withObjects } from './object-batch.ts';
import type { OpenPackages } from './package-source.ts';
import { type PinnedModule, readPinnedModules } from './pinned-modules.ts';
import { graphModuleOf, type PlatformSnapshot } from './platform-snapshot.ts';
import { commitsWithTrees, wantedTree } from './tree-history.ts';
import { planLocks } from './write-locks.ts';

export interface RingProblem {
  /** Stable: `digest`, `version`, `tree-missing`, `unreachable`, `platform`, … */
  readonly code: string;
  readonly alias: string | undefined;
  readonly message: string;
  /** False where it could not be found out whether all is right: a registry is away. */
  readonly known: boolean;
}

export interface RingVerification {
  readonly ring: string;
  readonly tracking: boolean;
  /** Modules that were checked. */
  readonly modules: number;
  readonly problems: readonly RingProblem[];
}

/**
 * A tracking ring: whether its lock is what `modules/` says. A pinned ring: whether each entry's
 * tree is in git, stays there, and has the bytes, version and alias that the lock says (its package,
 * where the entry names no tree; one that was verified before is only asked for). Both:
 * whether the modules run together on the ring's platform.
 *
 * @param snapshot read without the digest cache, since this is what finds a wrong one
 * @throws RinglockError `unknown-ring`, and what the lock's parser throws
 */
export async function verifyRing(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  name: string,
  openPackages: OpenPackages,
): Promise<RingVerification> {
  const { ring } = requireRing(snapshot, name);
  return ring.tracking
    ? verifyTracking(repository, snapshot, ring, openPackages)
    : verifyPinned(repository, snapshot, ring, openPackages);
}

async function verifyTracking(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  { name, holds }: Ring,
  openPackages: OpenPackages,
): Promise<RingVerification> {
  const [planned] = await planLocks(repository, snapshot, { ring: name });
  const differences = planned?.differences ?? [];
  const problems: RingProblem[] = differences.map(({ kind, alias, message }) => ({
    code: kind,
    alias,
    message,
    known: true,
  }));
  if (planned !== undefined) {
    const held = [...planned.lock.modules].filter(([alias]) => holds.has(alias));
    const heldLock = { ...planned.lock, modules: new Map(held) };
    const pinned = await readPinned(repository, snapshot, heldLock, openPackages);
    const graph = new Map(
      [...snapshot.modules].map(([alias, module]) => [alias, graphModuleOf(module)]),
    );
    for (const [alias, module] of pinnedGraph(pinned, heldLock)) graph.set(alias, module);
    problems.push(...incompatible(graph, snapshot.platform), ...entryProblems(pinned));
  }
  return { ring: name, tracking: true, modules: snapshot.modules.size, problems };
}

async function verifyPinned(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  ring: Ring,
  openPackages: OpenPackages,
): Promise<RingVerification> {
  const { name } = ring;
  const text = snapshot.lockTexts.get(name);
  if (text === undefined) {
    const message = `${lockFile(name)} is missing`;
    const problems = [{ code: 'missing-lock', alias: undefined, message, known: true }];
    return { ring: name, tracking: false, modules: 0, problems };
  }
  const lock = parseLock(text, name);
  const pinned = await readPinned(repository, snapshot, lock, openPackages);
  const problems = [
    ...entryProblems(pinned),
    ...(await unreachable(repository, snapshot, lock, pinned)),
    ...incompatible(pinnedGraph(pinned, lock), lock.platform),
  ];
  return { ring: name, tracking: false, modules: lock.modules.size, problems };
}

function readPinned(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  lock: Lock,
  openPackages: OpenPackages,
) {
  const { maxFiles } = snapshot.settings;
  const packages = openPackages(snapshot, repository);
  return readPinnedModules(repository, lock, maxFiles, { read: packages.readPresent });
}

type PinnedModules = ReadonlyMap<string, PinnedModule>;

/**
 * The dependency graph of those entries that could be read. One whose registry is away is there at the version
 * that the lock says, with needs that nobody knows: what depends on it is not at fault.
 */
export function pinnedGraph(pinned: PinnedModules, lock: Lock): Map<string, GraphModule> {
  const graph = new Map<string, GraphModule>();
  for (const [alias, { manifest, problem }] of pinned) {
    const version = lock.modules.get(alias)?.version;
    if (manifest !== undefined) graph.set(alias, graphModuleOf({ manifest }));
    else if (problem?.exitCode === 3 && version !== undefined) {
      graph.set(alias, { version, platformRange: undefined, dependencies: new Map() });
    }
  }
  return graph;
}

function entryProblems(pinned: PinnedModules): RingProblem[] {
  return [...pinned].flatMap(([alias, { problem }]) =>
    problem === undefined
      ? []
      : [{ code: problem.code, alias, message: problem.message, known: problem.exitCode !== 3 }],
  );
}

function incompatible(graph: GraphModules, platform: string): RingProblem[] {
  return findIncompatibilities(graph, platform).map(({ alias, kind, message }) => ({
    code: kind,
    alias,
    message,
    known: true,
  }));
}

/** A tree that no deploy branch or tag reaches may be collected on the server at any time. */
async function unreachable(
  repository: GitRepository,
  { rings }: PlatformSnapshot,
  lock: Lock,
  pinned: PinnedModules,
): Promise<RingProblem[]> {
  const wanted = [...lock.modules].flatMap(([alias, entry]) => {
    const isRead = pinned.get(alias)?.manifest !== undefined;
    const tree = isRead && entry.artifact === null ? wantedTree(entry) : undefined;
    return tree === undefined ? [] : [{ alias, version: entry.version, ...tree }];
  });
  const branches = [...new Set([...rings.values()].map(({ ring }) => ring.branch))];
  const refs = (await findDeployRefs(repository, branches)).map(({ ref }) => ref);
  const reached = await withObjects(repository, (objects) =>
    commitsWithTrees(repository, objects, [...refs, '--tags'], wanted, 'first'),
  );
  return wanted
    .filter(({ path }) => !reached.has(path))
    .map(({ alias, version, tree }) => ({
      code: 'unreachable',
      alias,
      message: `${alias} ${version}: tree ${tree} is reached by no tag and no deploy branch (${branches.join(', ')}), so a server may delete it, and the entry has no artifact`,
      known: true,
    }));
}
