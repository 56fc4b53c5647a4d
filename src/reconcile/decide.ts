import { RinglockError, refused } from '../errors.ts';
import {
  changesBetween,
  changesKey,
  type DesiredLock,
  desiredLock,
  type FailedSet,
} from '../plan/desired-lock.ts';
import { type Plan, plan, type Step } from '../plan/plan.ts';
import type { GraphModule } from '../repo/graph.ts';
import { createVersionDirection, type Lock, samePin } from '../repo/lock.ts';
import type { ModuleManifest } from '../repo/module-manifest.ts';
import type { Settings } from '../repo/settings.ts';
import type { ModuleSource } from '../source/module-source.ts';
import { type Generation, lockDigest, readGeneration } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import { changedSteps, installedModules } from './changed-steps.ts';
import type { CommittedRing } from './committed-ring.ts';
import { makeReady } from './make-ready.ts';
import { readGraph } from './module-graph.ts';
import type { ReleasedBytes } from './released-bytes.ts';
import type { Connection } from './ring/ring-membership.ts';
import type { GoodLock, RingMemory } from './ring/ring-memory.ts';
import type { RingTarget } from './ring/ring-operation.ts';

export interface DecideInput {
  readonly committed: CommittedRing;
  readonly commit: string | null;
  readonly branch: string;
  /** Alias → what differs on disk. */
  readonly drift: ReadonlyMap<string, string>;
  readonly root: Root;
  readonly released: ReleasedBytes;
  readonly objects: Parameters<typeof readGraph>[2];
  readonly memory: RingMemory;
  readonly connection: Connection;
  /** What this image is; undefined takes the lock's word. */
  readonly platform: string | undefined;
  /** Whether git is away: what is not here is then not asked for ahead. */
  readonly isOffline: boolean;
  readonly sourcesFor: (settings: Settings, have: readonly string[]) => readonly ModuleSource[];
}

/** What is to be done, and what has to be said of it. */
export interface Decision {
  readonly desired: DesiredLock;
  readonly plan: Plan;
  readonly target: RingTarget;
  /** Whether the target is not yet what the ring runs well. */
  readonly isNewForRing: boolean;
  /** What the ring changes: from its last good lock. */
  readonly ringSteps: readonly Step[];
  readonly good: GoodLock | undefined;
  readonly sources: readonly ModuleSource[];
  /** Whether a module that the ring changes has handlers that run when it does. */
  readonly hasHandlers: boolean;
  /** A new pod begins with what the ring runs well; the pass that follows takes part in what is new. */
  readonly isFirstStep: boolean;
}

/**
 * Decides what a pass does: the committed lock, minus what failed, plus holds, compared with the disk.
 *
 * @throws RinglockError `released-bytes-changed`, `incompatible-lock`, `mass-removal`, `no-source`, …
 */
export async function decide(input: DecideInput): Promise<Decision> {
  try {
    return await decideOn(input, true);
  } catch (error) {
    const current = await input.root.current();
    // What the ring runs may be more than a new image can: it then begins with what is new.
    if (current !== undefined || input.memory.good === undefined) throw error;
    if (!(error instanceof RinglockError)) throw error;
    return decideOn(input, false);
  }
}

async function decideOn(input: DecideInput, mayBeginWithGood: boolean): Promise<Decision> {
  const { committed, root, objects, memory, drift } = input;
  const { policy } = committed.settings;
  const current = await root.current();
  await input.released.refuseOthers(committed.lock);
  const sources = sourcesOf(input, current, committed.lock);
  const good = memory.good;
  const before = good?.lock ?? (await provenLock(root, current));
  const chosen = await chooseLock(input, { current, before, good, sources, mayBeginWithGood });
  const { desired, graph } = chosen;
  const currentGraph = await knownGraph(current?.lock, root, objects);
  const decided = plan({
    lock: desired.lock,
    installed: installedModules(current?.lock, drift),
    platform: input.platform ?? desired.lock.platform,
    graph,
    installedGraph: currentGraph,
    policy,
  });
  const isBeforeCurrent = before !== undefined && lockDigest(before) === current?.lockDigest;
  const beforeGraph = isBeforeCurrent ? currentGraph : await knownGraph(before, root, objects);
  const digest = lockDigest(desired.lock);
  const changed = changedSteps(before, desired.lock, graph, beforeGraph);
  return {
    desired,
    plan: decided,
    target: ringTarget(input, desired.lock, digest, before),
    isNewForRing: good?.digest !== digest,
    ringSteps: changed,
    hasHandlers: changed.some(
      ({ alias }) => hasHandlers(graph.get(alias)) || hasHandlers(beforeGraph.get(alias)),
    ),
    good,
    sources,
    isFirstStep: chosen.isFirstStep,
  };
}

interface Choice {
  readonly current: Generation | undefined;
  readonly before: Lock | undefined;
  readonly good: GoodLock | undefined;
  readonly sources: readonly ModuleSource[];
  readonly mayBeginWithGood: boolean;
}

/** The lock to make true, with the modules it needs asked for, and their graph. */
async function chooseLock(
  { committed, root, objects, memory, connection, isOffline }: DecideInput,
  { current, before, good, sources, mayBeginWithGood }: Choice,
): Promise<Pick<Decision, 'desired' | 'isFirstStep'> & { readonly graph: ModuleGraph }> {
  const { lock, ring, settings } = committed;
  await makeReady({ lock, root, objects, sources, isOffline });
  const graph = await readGraph(lock, root, objects);
  const wanted = desiredLock({
    ...{ lock, graph, tracking: ring.tracking, onFailure: settings.policy.onFailure },
    ...{ holds: memory.holds, failures: memory.failures, lastGood: before },
  });
  const isFirstStep =
    mayBeginWithGood &&
    current === undefined &&
    connection === 'database' &&
    good !== undefined &&
    good.digest !== lockDigest(wanted.lock);
  const desired = isFirstStep ? { ...wanted, lock: good.lock } : wanted;
  if (desired.lock === lock) return { desired, isFirstStep, graph };
  await makeReady({ lock: desired.lock, root, objects, sources, isOffline });
  return { desired, isFirstStep, graph: await readGraph(desired.lock, root, objects) };
}

type ModuleGraph = Awaited<ReturnType<typeof readGraph>>;

/** What this root is known to have run, where the ring does not say: not what is still being judged. */
async function provenLock(root: Root, current: Generation | undefined): Promise<Lock | undefined> {
  const open = root.journal.unfinished()?.prepared;
  if (open === undefined || open.toGeneration !== current?.number) return current?.lock;
  const { fromGeneration } = open;
  if (fromGeneration === null) return current.lock;
  return (await readGeneration(root.path, fromGeneration))?.lock ?? current.lock;
}

/** Why a whole commit stays out. */
export function blockedBy({ changes, reason }: FailedSet): RinglockError {
  return refused(
    'failed-before',
    `the commit contains versions that came up sick in this ring: ${changesKey(changes)} (${reason})`,
    {
      hint: 'The ring stays at its last good versions until the set changes, or: ringlock retry',
    },
  );
}

/** Only what a changed module had before is announced: each tree is walked to see that it is whole. */
function sourcesOf(
  { sourcesFor, committed }: DecideInput,
  current: Generation | undefined,
  lock: Lock,
): readonly ModuleSource[] {
  const replaced = [...(current?.lock.modules ?? [])].filter(([alias, installed]) => {
    const wanted = lock.modules.get(alias);
    return wanted !== undefined && !samePin(wanted, installed);
  });
  return sourcesFor(
    committed.settings,
    replaced.flatMap(([, { tree }]) => tree ?? []),
  );
}

/** A module whose manifest may be lost. */
type KnownModule = GraphModule & Partial<Pick<ModuleManifest, 'lifecycle'>>;

/** The order of what is left needs its graph; where that is lost, the order is the alphabet's. */
async function knownGraph(
  lock: Lock | undefined,
  root: Root,
  objects: DecideInput['objects'],
): Promise<ReadonlyMap<string, KnownModule>> {
  if (lock === undefined) return new Map();
  try {
    return await readGraph(lock, root, objects);
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    const alone = { platformRange: undefined, dependencies: new Map<string, string>() };
    return new Map([...lock.modules].map(([alias, { version }]) => [alias, { ...alone, version }]));
  }
}

function hasHandlers(module: KnownModule | undefined): boolean {
  const lifecycle = module?.lifecycle;
  return ['onInstall', 'onUpgrade', 'onDowngrade'].some(
    (event) => lifecycle !== undefined && event in lifecycle,
  );
}

function ringTarget(
  { commit, branch, committed, memory }: DecideInput,
  lock: Lock,
  digest: string,
  before: Lock | undefined,
): RingTarget {
  const changes = changesBetween(before, lock);
  const directionOf = createVersionDirection();
  const isReturn = changes.every(({ alias, version }) => {
    const known = before?.modules.get(alias);
    return (
      version === null || (known !== undefined && directionOf(known.version, version) === 'down')
    );
  });
  const { policy } = committed.settings;
  const isForced = changes.every(({ alias }) => memory.holds.has(alias));
  const revertOn = isForced ? 'never' : policy.revertOn;
  return {
    ...{ commit, branch, lock, digest, changes, isReturn, isForced },
    previous: before,
    policy: { rollout: policy.rollout, revertOn },
  };
}
