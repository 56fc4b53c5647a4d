import { refused } from '../errors.ts';
import {
  dependencyOrder,
  findIncompatibilities,
  type GraphModules,
  type Incompatibility,
} from '../repo/graph.ts';
import {
  createVersionDirection,
  type Lock,
  type LockEntry,
  samePin,
  type VersionDirection,
} from '../repo/lock.ts';
import type { Policy } from '../repo/settings.ts';

/** A module as the current generation has it. */
export interface InstalledModule {
  readonly version: string;
  /** `sha256:<hex>` of what the generation's lock says, not of a damaged disk. */
  readonly sha256: string;
  readonly directory: string;
  /** What differs on disk, in words; undefined when it is as pinned. */
  readonly drift?: string;
}

export type StepAction = 'install' | 'upgrade' | 'downgrade' | 'repair' | 'remove';

/** One module's part of a plan. */
export interface Step {
  readonly action: StepAction;
  readonly alias: string;
  readonly from: { readonly version: string; readonly sha256: string } | null;
  /** The lock entry to make true; null for a removal. */
  readonly to: LockEntry | null;
  /** Why, for a repair. */
  readonly reason?: string;
}

/** The ordered difference between a lock and a root. */
export interface Plan {
  readonly steps: readonly Step[];
  /** Aliases that are already as pinned, sorted. */
  readonly keep: readonly string[];
  /** Modules left out under `policy.incompatible: skip`, with the reasons. */
  readonly skipped: readonly Incompatibility[];
  /** What the generation will be: the lock less what is skipped. */
  readonly effective: Lock;
}

export interface PlanInput {
  readonly lock: Lock;
  /** By alias. */
  readonly installed: ReadonlyMap<string, InstalledModule>;
  /** What the lock's modules must run on. */
  readonly platform: string;
  /** Ranges and dependencies of the modules of the lock. */
  readonly graph: GraphModules;
  /** The same of what is installed: the order of removals and downgrades. */
  readonly installedGraph: GraphModules;
  readonly policy: Pick<Policy, 'incompatible' | 'maxRemovals'>;
}

/**
 * Decides what to do; deterministic, and empty when the root is as the lock says.
 *
 * Order: downgrades with dependents first, then installs, upgrades and repairs with dependencies
 * first, then removals with dependents first.
 *
 * @throws RinglockError `incompatible-lock` or `mass-removal` when the whole lock is refused
 */
export function plan(input: PlanInput): Plan {
  const { effective, skipped } = effectiveLock(input);
  refuseMassRemoval(input, effective);
  const keep: string[] = [];
  const byAlias = new Map<string, Step>();
  const directionOf = createVersionDirection();
  for (const [alias, entry] of effective.modules) {
    const step = stepFor(alias, entry, input.installed.get(alias), directionOf);
    if (step === undefined) keep.push(alias);
    else byAlias.set(alias, step);
  }
  for (const [alias, from] of input.installed) {
    if (!effective.modules.has(alias)) {
      byAlias.set(alias, { action: 'remove', alias, from: pinOf(from), to: null });
    }
  }
  return { steps: orderSteps(byAlias, input), keep: keep.sort(), skipped, effective };
}

function effectiveLock({ lock, graph, platform, policy }: PlanInput): {
  effective: Lock;
  skipped: Incompatibility[];
} {
  const incompatible = findIncompatibilities(graph, platform);
  if (incompatible.length === 0) return { effective: lock, skipped: [] };
  if (policy.incompatible === 'refuse') {
    throw refused(
      'incompatible-lock',
      `the lock of ${lock.ring} is refused:\n${incompatible.map(({ message }) => `  ${message}`).join('\n')}`,
      {
        hint: 'Mend the module or its range, or set policy.incompatible: skip in manifests/ringlock.yaml to run the rest.',
        details: { incompatible },
      },
    );
  }
  const left = new Set(incompatible.map(({ alias }) => alias));
  const modules = new Map([...lock.modules].filter(([alias]) => !left.has(alias)));
  return { effective: { ...lock, modules }, skipped: incompatible };
}

/** A lock that loses most of its modules is a mistake until a person says otherwise. */
function refuseMassRemoval({ installed, lock, policy }: PlanInput, effective: Lock): void {
  const removed = [...installed.keys()].filter((alias) => !effective.modules.has(alias)).sort();
  if (removed.length === 0 || removed.length <= installed.size * policy.maxRemovals) return;
  throw refused(
    'mass-removal',
    `the lock of ${lock.ring} removes ${removed.length} of ${installed.size} modules (${removed.join(', ')}), more than policy.maxRemovals (${policy.maxRemovals}) allows`,
    {
      hint: 'Remove them in several commits, or raise policy.maxRemovals in manifests/ringlock.yaml.',
    },
  );
}

function stepFor(
  alias: string,
  to: LockEntry,
  installed: InstalledModule | undefined,
  directionOf: VersionDirection,
): Step | undefined {
  if (installed === undefined) return { action: 'install', alias, from: null, to };
  const from = pinOf(installed);
  if (samePin(installed, to)) {
    const reason =
      installed.drift ??
      (to.directory !== null && to.directory !== installed.directory
        ? `its directory is ${installed.directory}, the lock says ${to.directory}`
        : undefined);
    return reason === undefined ? undefined : { action: 'repair', alias, from, to, reason };
  }
  const direction = directionOf(installed.version, to.version);
  if (direction === 'same') {
    return { action: 'repair', alias, from, to, reason: 'the lock pins another digest' };
  }
  return { action: direction === 'up' ? 'upgrade' : 'downgrade', alias, from, to };
}

function pinOf({ version, sha256 }: InstalledModule): { version: string; sha256: string } {
  return { version, sha256 };
}

function orderSteps(byAlias: ReadonlyMap<string, Step>, input: PlanInput): Step[] {
  const stepsAlong = (order: readonly string[], actions: readonly StepAction[]) =>
    order.flatMap((alias) => {
      const step = byAlias.get(alias);
      return step !== undefined && actions.includes(step.action) ? [step] : [];
    });
  const upward = dependencyOrder(input.graph);
  const up = stepsAlong(upward, ['install', 'upgrade', 'repair']);
  if (up.length === byAlias.size) return up;
  const downward = dependencyOrder(input.installedGraph).reverse();
  return [...stepsAlong(downward, ['downgrade']), ...up, ...stepsAlong(downward, ['remove'])];
}
