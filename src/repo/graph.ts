import { createRangeTest, type RangeTest } from './platform.ts';

/** What the graph needs to know of a module. */
export interface GraphModule {
  readonly version: string;
  /** Undefined means any platform. */
  readonly platformRange: string | undefined;
  /** Alias → semver range. */
  readonly dependencies: ReadonlyMap<string, string>;
}

export type GraphModules = ReadonlyMap<string, GraphModule>;

/** Why a module cannot run; `because` is the dependency at fault, where there is one. */
export interface Incompatibility {
  readonly alias: string;
  readonly kind:
    | 'platform'
    | 'missing-dependency'
    | 'unsatisfied-dependency'
    | 'dependency-cycle'
    | 'refused-dependency';
  readonly because?: string;
  readonly message: string;
}

/**
 * Every reason why modules cannot run on a platform together, sorted by alias: platform ranges,
 * missing and unsatisfied dependencies, cycles, and the cascade to whatever depends on those.
 */
export function findIncompatibilities(modules: GraphModules, platform: string): Incompatibility[] {
  const found: Incompatibility[] = [];
  const satisfies = createRangeTest();
  for (const [alias, module] of modules) {
    if (module.platformRange !== undefined && !satisfies(platform, module.platformRange)) {
      found.push({
        alias,
        kind: 'platform',
        message: `${alias} ${module.version} is incompatible: platform ${platform} does not satisfy ${module.platformRange}`,
      });
    }
    found.push(...brokenDependencies(alias, module, modules, satisfies));
  }
  for (const cycle of findCycles(modules)) {
    const path = [...cycle, cycle[0]].join(' → ');
    for (const alias of cycle) {
      found.push({
        alias,
        kind: 'dependency-cycle',
        message: `${alias} is in a dependency cycle: ${path}`,
      });
    }
  }
  found.push(...cascade(modules, new Set(found.map(({ alias }) => alias))));
  return found.sort((a, b) => compareText(a.alias, b.alias) || compareText(a.message, b.message));
}

function brokenDependencies(
  alias: string,
  module: GraphModule,
  modules: GraphModules,
  satisfies: RangeTest,
): Incompatibility[] {
  const found: Incompatibility[] = [];
  for (const [dependency, range] of module.dependencies) {
    const present = modules.get(dependency);
    if (present === undefined) {
      found.push({
        alias,
        kind: 'missing-dependency',
        because: dependency,
        message: `${alias} ${module.version} depends on ${dependency} ${range}, which is not there`,
      });
    } else if (!satisfies(present.version, range)) {
      found.push({
        alias,
        kind: 'unsatisfied-dependency',
        because: dependency,
        message: `${alias} ${module.version} depends on ${dependency} ${range}, found ${present.version}`,
      });
    }
  }
  return found;
}

/** What falls because a dependency falls, nearest dependents first. */
function cascade(modules: GraphModules, fallen: Set<string>): Incompatibility[] {
  if (fallen.size === 0) return [];
  const found: Incompatibility[] = [];
  const dependents = dependentsOf(modules);
  const queue = [...fallen].sort(compareText);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const alias of dependents.get(next) ?? []) {
      if (fallen.has(alias)) continue;
      fallen.add(alias);
      queue.push(alias);
      found.push({
        alias,
        kind: 'refused-dependency',
        because: next,
        message: `${alias} cannot run because its dependency ${next} cannot`,
      });
    }
  }
  return found;
}

/** Alias → the aliases that depend on it directly, sorted. */
export function dependentsOf(modules: GraphModules): Map<string, string[]> {
  const dependents = new Map<string, string[]>();
  for (const alias of [...modules.keys()].sort(compareText)) {
    for (const dependency of modules.get(alias)?.dependencies.keys() ?? []) {
      const list = dependents.get(dependency);
      if (list === undefined) dependents.set(dependency, [alias]);
      else list.push(alias);
    }
  }
  return dependents;
}

/**
 * Aliases ordered so that each comes after its dependencies; ties alphabetically; the members of a
 * cycle come last, alphabetically. Linear in modules and dependencies, but for the sorting.
 */
export function dependencyOrder(modules: GraphModules): string[] {
  const waitingFor = new Map<string, number>();
  for (const [alias, module] of modules) {
    waitingFor.set(alias, [...module.dependencies.keys()].filter((d) => modules.has(d)).length);
  }
  const dependents = dependentsOf(modules);
  const ordered: string[] = [];
  let ready = [...modules.keys()].filter((alias) => waitingFor.get(alias) === 0).sort(compareText);
  while (ready.length > 0) {
    const next: string[] = [];
    for (const alias of ready) {
      ordered.push(alias);
      for (const dependent of dependents.get(alias) ?? []) {
        const left = (waitingFor.get(dependent) ?? 0) - 1;
        waitingFor.set(dependent, left);
        if (left === 0) next.push(dependent);
      }
    }
    ready = next.sort(compareText);
  }
  const done = new Set(ordered);
  return [...ordered, ...[...modules.keys()].filter((alias) => !done.has(alias)).sort(compareText)];
}

/**
 * The dependency cycles, each as its members in dependency order starting with the first
 * alphabetically: one cycle for each strongly connected set of modules.
 */
export function findCycles(modules: GraphModules): string[][] {
  return stronglyConnected(modules)
    .filter(
      (members) =>
        members.length > 1 || modules.get(members[0] ?? '')?.dependencies.has(members[0] ?? ''),
    )
    .map((members) => walkCycle(modules, new Set(members)))
    .sort((a, b) => compareText(a[0] ?? '', b[0] ?? ''));
}

/** Tarjan's algorithm with a stack of its own, so that a long chain of modules cannot overflow. */
function stronglyConnected(modules: GraphModules): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const onPath = new Set<string>();
  const path: string[] = [];
  const found: string[][] = [];
  for (const start of modules.keys()) {
    if (index.has(start)) continue;
    const stack: { alias: string; pending: string[] }[] = [];
    const enter = (alias: string) => {
      index.set(alias, index.size);
      low.set(alias, index.size - 1);
      onPath.add(alias);
      path.push(alias);
      const dependencies = [...(modules.get(alias)?.dependencies.keys() ?? [])];
      stack.push({ alias, pending: dependencies.filter((d) => modules.has(d)) });
    };
    enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { alias } = top;
      const dependency = top.pending.pop();
      if (dependency === undefined) {
        stack.pop();
        const parent = stack.at(-1);
        if (parent !== undefined) lower(low, parent.alias, low.get(alias));
        if (low.get(alias) === index.get(alias)) found.push(unwind(path, onPath, alias));
      } else if (!index.has(dependency)) {
        enter(dependency);
      } else if (onPath.has(dependency)) {
        lower(low, alias, index.get(dependency));
      }
    }
  }
  return found;
}

function lower(low: Map<string, number>, alias: string, value: number | undefined): void {
  low.set(alias, Math.min(low.get(alias) ?? Infinity, value ?? Infinity));
}

function unwind(path: string[], onPath: Set<string>, until: string): string[] {
  const members: string[] = [];
  for (let member = path.pop(); member !== undefined; member = path.pop()) {
    onPath.delete(member);
    members.push(member);
    if (member === until) break;
  }
  return members;
}

/** One closed walk through a strongly connected set: from its first member back to itself. */
function walkCycle(modules: GraphModules, members: ReadonlySet<string>): string[] {
  const start = [...members].sort(compareText)[0] ?? '';
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (let alias = queue.shift(); alias !== undefined; alias = queue.shift()) {
    for (const dependency of [...(modules.get(alias)?.dependencies.keys() ?? [])].sort(
      compareText,
    )) {
      if (dependency === start) {
        const cycle = [alias];
        for (let at = alias; at !== start; ) {
          at = cameFrom.get(at) ?? start;
          cycle.unshift(at);
        }
        return cycle;
      }
      if (members.has(dependency) && !cameFrom.has(dependency)) {
        cameFrom.set(dependency, alias);
        queue.push(dependency);
      }
    }
  }
  return [start];
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
