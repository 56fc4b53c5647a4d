import semver from 'semver';
import { dependentsOf, findIncompatibilities, type GraphModules } from './graph.ts';

/** What the rules compare of a module. */
export interface ModuleState {
  readonly version: string;
  /** Content digest, `sha256:<hex>`. */
  readonly sha256: string;
  /** From the repository's top, e.g. `modules/Orders`. */
  readonly path: string;
}

/** By alias. */
export type ModuleStates = ReadonlyMap<string, ModuleState>;

/** Alias → version → content digest of the released bytes, undefined where nobody needs to know it. */
export type ReleasedVersions = ReadonlyMap<string, ReadonlyMap<string, string | undefined>>;

export interface BumpQuestion {
  readonly now: ModuleStates;
  /**
   * None for a repository's first commit, one for an ordinary commit, and for a merge each parent's
   * modules: then a digest equal to a parent's keeps that parent's version.
   */
  readonly baselines: readonly ModuleStates[];
  readonly released: ReleasedVersions;
}

export type ViolationKind = 'unbumped' | 'regression' | 'released-bytes' | 'merge' | 'graph';

export interface Violation {
  readonly alias: string;
  readonly kind: ViolationKind;
  /** The greatest version at a baseline, where the module was there. */
  readonly from: string | undefined;
  readonly to: string;
  /** One sentence, both versions in it. */
  readonly message: string;
  /** A command that mends it, or a sentence. */
  readonly mend: string;
}

/**
 * Every module that breaks the bump and immutability rules of DESIGN section 4, sorted by alias.
 * Pure; the hooks, the pipeline's check and the library all ask here.
 */
export function findBumpViolations({ now, baselines, released }: BumpQuestion): Violation[] {
  const found: Violation[] = [];
  for (const [alias, module] of [...now].sort(byAlias)) {
    const befores = baselines.flatMap((baseline) => baseline.get(alias) ?? []);
    const violation = bumpViolation(alias, module, befores, released.get(alias) ?? new Map());
    if (violation !== undefined) found.push(violation);
  }
  return found;
}

function bumpViolation(
  alias: string,
  now: ModuleState,
  befores: readonly ModuleState[],
  released: ReadonlyMap<string, string | undefined>,
): Violation | undefined {
  const from = greatest(befores.map(({ version }) => version));
  const known = released.get(now.version);
  const violation = (kind: ViolationKind, message: string): Violation => {
    const mend = mendingCommand(alias, now.version, from, released);
    return { alias, kind, from, to: now.version, message, mend };
  };
  const kept = befores.some(({ sha256 }) => sha256 === now.sha256);
  // Going back to released bytes is what `git revert` of a whole commit makes.
  const isReturn = known === now.sha256 && befores.length < 2;
  if (from !== undefined && !kept && !isReturn) {
    if (befores.length > 1 && !semver.gt(now.version, from)) {
      const versions = befores.map(({ version }) => version).join(' and ');
      return violation(
        'merge',
        `${alias} ${now.version} is merged from ${versions} into bytes of neither, so it needs a version greater than both`,
      );
    }
    const order = semver.compare(now.version, from);
    if (order === 0) {
      return violation('unbumped', `${alias} was changed, but its version is still ${from}`);
    }
    if (order < 0) {
      const why = !released.has(now.version)
        ? 'was never released'
        : 'was released with other bytes';
      return violation(
        'regression',
        `${alias} goes back from ${from} to ${now.version}, which ${why}`,
      );
    }
  }
  if (known !== undefined && known !== now.sha256) {
    return violation(
      'released-bytes',
      `${alias} ${now.version} was released with other bytes (${short(known)}, found ${short(now.sha256)})`,
    );
  }
  return undefined;
}

/** `ringlock bump orders patch`, or with the version where a patch of the present one will not do. */
function mendingCommand(
  alias: string,
  present: string,
  from: string | undefined,
  released: ReadonlyMap<string, string | undefined>,
): string {
  const above = greatest([present, ...(from === undefined ? [] : [from])]) ?? present;
  const kind = semver.prerelease(above) === null ? 'patch' : 'prerelease';
  const wanted = nextFreeVersion(above, kind, released.keys());
  const byPatch = nextFreeVersion(present, 'patch', released.keys());
  return `ringlock bump ${alias} ${wanted === byPatch ? 'patch' : wanted}`;
}

export type BumpKind = 'major' | 'minor' | 'patch' | 'prerelease';

/**
 * The next version of a kind that was never released: after 1.0.1 was released and reverted, the
 * patch that follows 1.0.0 is 1.0.2.
 */
export function nextFreeVersion(
  version: string,
  kind: BumpKind,
  released: Iterable<string>,
): string {
  const taken = new Set(released);
  let next = version;
  do {
    const raised = semver.inc(next, kind);
    if (raised === null) throw new TypeError(`${next} is not a semantic version`);
    next = raised;
  } while (taken.has(next));
  return next;
}

/**
 * Why a ring would refuse these modules together: ranges, missing dependencies, cycles. A module
 * that was deleted while others depend on it is named as that.
 */
export function findGraphViolations(
  graph: GraphModules,
  platform: string,
  baselines: readonly ModuleStates[],
): Violation[] {
  const dependents = dependentsOf(graph);
  return findIncompatibilities(graph, platform)
    .filter(({ kind }) => kind !== 'refused-dependency')
    .map(({ alias, kind, because, message }) => {
      const deleted =
        kind === 'missing-dependency' && baselines.some((modules) => modules.has(because ?? ''));
      return {
        alias,
        kind: 'graph',
        from: undefined,
        to: graph.get(alias)?.version ?? '',
        message: deleted
          ? `${because} is deleted while ${(dependents.get(because ?? '') ?? []).join(', ')} depends on it (${message})`
          : message,
        mend: graphMend(alias, kind, because),
      };
    });
}

function graphMend(alias: string, kind: string, because: string | undefined): string {
  if (kind === 'platform') return `Widen compatibility.platform of ${alias}, or leave VERSION.`;
  if (kind === 'missing-dependency') {
    return `Bring ${because} back, or take it out of the dependencies of ${alias} and bump ${alias}.`;
  }
  if (kind === 'unsatisfied-dependency') {
    return `Widen the range of ${because} in the module.json of ${alias} and bump ${alias} (ringlock bump ${because} … --dependents does both).`;
  }
  return 'Take one of these dependencies out.';
}

/** Sentences about modules that kept their alias and changed their directory. */
export function movedModules(now: ModuleStates, baseline: ModuleStates | undefined): string[] {
  return [...now].sort(byAlias).flatMap(([alias, { path }]) => {
    const before = baseline?.get(alias)?.path;
    return before === undefined || before === path
      ? []
      : [`${alias} moved from ${before} to ${path}`];
  });
}

/**
 * A violation as people read it: what is wrong, which files changed, what mends it.
 *
 * @param files changed paths from the repository's top
 */
export function describeViolation(violation: Violation, files: readonly string[]): string {
  const shown = files.slice(0, 5);
  const more = files.length - shown.length;
  const list = more > 0 ? [...shown, `and ${more} more`] : shown;
  return [violation.message, ...list.map((file) => `    ${file}`), `  → ${violation.mend}`].join(
    '\n',
  );
}

function greatest(versions: readonly string[]): string | undefined {
  return [...versions].sort(semver.rcompare)[0];
}

function short(sha256: string): string {
  return sha256.slice(0, 'sha256:'.length + 12);
}

function byAlias(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1;
}
