import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type InstalledModule, type Plan, type PlanInput, plan } from '../../src/plan/plan.ts';
import type { GraphModule, GraphModules } from '../../src/repo/graph.ts';
import type { Lock, LockEntry } from '../../src/repo/lock.ts';

const digestOf = (alias: string, version: string) =>
  `sha256:${Buffer.from(`${alias}@${version}`).toString('hex').padEnd(64, '0').slice(0, 64)}`;

function entry(alias: string, version: string, change: Partial<LockEntry> = {}): LockEntry {
  return {
    version,
    directory: alias.toUpperCase(),
    source: null,
    tree: null,
    artifact: null,
    sha256: digestOf(alias, version),
    file_count: 1,
    size_bytes: 1,
    released_at: null,
    ...change,
  };
}

function lockOf(versions: Readonly<Record<string, string>>): Lock {
  const modules = Object.entries(versions).map(([a, v]) => [a, entry(a, v)] as const);
  return { ring: 'edge', platform: '2.0.0', modules: new Map(modules) };
}

function installedOf(versions: Readonly<Record<string, string>>): Map<string, InstalledModule> {
  return new Map(
    Object.entries(versions).map(([alias, version]) => [
      alias,
      { version, sha256: digestOf(alias, version), directory: alias.toUpperCase() },
    ]),
  );
}

function graphOf(
  versions: Readonly<Record<string, string>>,
  dependencies: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
): GraphModules {
  return new Map(
    Object.entries(versions).map(([alias, version]): [string, GraphModule] => [
      alias,
      {
        version,
        platformRange: undefined,
        dependencies: new Map(Object.entries(dependencies[alias] ?? {})),
      },
    ]),
  );
}

function inputFor(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
  change: Partial<PlanInput> = {},
): PlanInput {
  return {
    lock: lockOf(after),
    installed: installedOf(before),
    platform: '2.0.0',
    graph: graphOf(after),
    installedGraph: graphOf(before),
    policy: { incompatible: 'refuse', maxRemovals: 1 },
    ...change,
  };
}

const summary = ({ steps }: Plan) => steps.map(({ action, alias }) => `${action} ${alias}`);

describe('plan', () => {
  it('names what happens to each module', () => {
    const before = { a: '1.0.0', b: '1.0.0', c: '2.0.0', d: '1.0.0' };
    const after = { a: '1.0.0', b: '1.1.0', c: '1.0.0', e: '1.0.0' };
    const result = plan(inputFor(before, after));
    assert.deepEqual(summary(result), ['downgrade c', 'upgrade b', 'install e', 'remove d']);
    assert.deepEqual(result.keep, ['a']);
  });

  it('installs dependencies first and removes dependents first', () => {
    const versions = { orders: '1.0.0', products: '1.0.0', 'a-shop': '1.0.0' };
    const graph = graphOf(versions, {
      orders: { products: '^1.0.0' },
      'a-shop': { orders: '^1.0.0' },
    });
    const up = plan(inputFor({}, versions, { graph }));
    assert.deepEqual(summary(up), ['install products', 'install orders', 'install a-shop']);
    const down = plan(inputFor(versions, {}, { installedGraph: graph }));
    assert.deepEqual(summary(down), ['remove a-shop', 'remove orders', 'remove products']);
  });

  it('repairs a module that drifted, moved, or is pinned to other bytes of its version', () => {
    const installed = installedOf({ a: '1.0.0', b: '1.0.0', c: '1.0.0' });
    const drifted = { ...installed.get('a'), drift: 'index.php was changed' } as InstalledModule;
    const moved = { ...installed.get('b'), directory: 'Elsewhere' } as InstalledModule;
    const lock = lockOf({ a: '1.0.0', b: '1.0.0' });
    const modules = new Map([
      ...lock.modules,
      ['c', entry('c', '1.0.0', { sha256: digestOf('c', 'other') })] as const,
    ]);
    const result = plan(
      inputFor(
        {},
        { a: '1.0.0', b: '1.0.0', c: '1.0.0' },
        {
          lock: { ...lock, modules },
          installed: new Map([...installed, ['a', drifted], ['b', moved]]),
        },
      ),
    );
    assert.deepEqual(
      result.steps.map(({ action, reason }) => `${action}: ${reason}`),
      [
        'repair: index.php was changed',
        'repair: its directory is Elsewhere, the lock says B',
        'repair: the lock pins another digest',
      ],
    );
  });

  it('refuses the whole lock when one module cannot run, naming each reason', () => {
    const versions = { orders: '1.0.0', shop: '1.0.0' };
    const graph = new Map(graphOf(versions, { shop: { orders: '^1.0.0' } }));
    graph.set('orders', { version: '1.0.0', platformRange: '^99.0.0', dependencies: new Map() });
    assert.throws(() => plan(inputFor({}, versions, { graph })), {
      code: 'incompatible-lock',
      exitCode: 1,
      message:
        /orders 1\.0\.0 is incompatible: platform 2\.0\.0 does not satisfy \^99\.0\.0\n.*shop cannot run because its dependency orders cannot/,
    });
  });

  it('leaves an incompatible module and its dependents out under policy.incompatible: skip', () => {
    const versions = { orders: '1.0.0', products: '1.0.0', shop: '1.0.0' };
    const graph = new Map(graphOf(versions, { shop: { orders: '^1.0.0' } }));
    graph.set('orders', { version: '1.0.0', platformRange: '^99.0.0', dependencies: new Map() });
    const policy = { incompatible: 'skip', maxRemovals: 0.5 } as const;
    const result = plan(inputFor({}, versions, { graph, policy }));
    assert.deepEqual(summary(result), ['install products']);
    assert.deepEqual([...result.effective.modules.keys()], ['products']);
    assert.deepEqual(
      result.skipped.map(({ alias, kind }) => `${alias}: ${kind}`),
      ['orders: platform', 'shop: refused-dependency'],
    );
  });

  it('refuses a lock that removes more of the modules than policy.maxRemovals', () => {
    const before = { a: '1.0.0', b: '1.0.0', c: '1.0.0', d: '1.0.0' };
    const policy = { incompatible: 'refuse', maxRemovals: 0.5 } as const;
    assert.deepEqual(summary(plan(inputFor(before, { a: '1.0.0', b: '1.0.0' }, { policy }))), [
      'remove d',
      'remove c',
    ]);
    assert.throws(() => plan(inputFor(before, { a: '1.0.0' }, { policy })), {
      code: 'mass-removal',
      message: /removes 3 of 4 modules \(b, c, d\)/,
    });
    assert.throws(() => plan(inputFor(before, {}, { policy })), { code: 'mass-removal' });
  });

  const aliases = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;
  const anyVersions = fc.dictionary(
    fc.constantFrom(...aliases),
    fc.constantFrom('1.0.0', '1.0.1', '1.1.0-beta.1', '1.1.0', '2.0.0'),
  );
  /** Dependencies only from later letters to earlier ones, so that there is no cycle. */
  const anyDependencies = fc.uniqueArray(fc.tuple(fc.nat(7), fc.nat(7)), {
    selector: ([from, to]) => `${from} ${to}`,
  });
  const dependenciesAmong = (
    versions: Readonly<Record<string, string>>,
    pairs: readonly (readonly [number, number])[],
  ) => {
    const found: Record<string, Record<string, string>> = {};
    for (const [x, y] of pairs) {
      const [to, from] = [aliases[Math.min(x, y)], aliases[Math.max(x, y)]];
      if (from === to || from === undefined || to === undefined) continue;
      if (!(to in versions) || !(from in versions)) continue;
      found[from] = { ...found[from], [to]: '>=0.0.0-0' };
    }
    return found;
  };

  it('ends equal to any lock from any installed set, and then has nothing left to do', () => {
    fc.assert(
      fc.property(anyVersions, anyVersions, anyDependencies, (before, after, pairs) => {
        const graph = graphOf(after, dependenciesAmong(after, pairs));
        const installedGraph = graphOf(before, dependenciesAmong(before, pairs));
        const input = inputFor(before, after, { graph, installedGraph });
        const result = plan(input);
        const disk = new Map(input.installed);
        for (const { alias, from, to } of result.steps) {
          assert.equal(disk.get(alias)?.version, from?.version);
          if (to === null) disk.delete(alias);
          else disk.set(alias, { ...to, directory: to.directory ?? '' });
        }
        const versions = (entries: Iterable<[string, { version: string }]>) =>
          Object.fromEntries([...entries].map(([alias, { version }]) => [alias, version]));
        assert.deepEqual(versions(disk), versions(input.lock.modules));
        assert.deepEqual(plan({ ...input, installed: disk, installedGraph: graph }).steps, []);
      }),
    );
  });

  it('goes up with dependencies first and down with dependents first, whatever the graph', () => {
    fc.assert(
      fc.property(anyVersions, anyVersions, anyDependencies, (before, after, pairs) => {
        const up = dependenciesAmong(after, pairs);
        const down = dependenciesAmong(before, pairs);
        const { steps } = plan(
          inputFor(before, after, {
            graph: graphOf(after, up),
            installedGraph: graphOf(before, down),
          }),
        );
        const place = (alias: string, ...actions: string[]) =>
          steps.findIndex((step) => step.alias === alias && actions.includes(step.action));
        const inOrder = (first: number, second: number) =>
          first === -1 || second === -1 || first < second;
        for (const [alias, dependencies] of Object.entries(up)) {
          for (const dependency of Object.keys(dependencies)) {
            const upward = ['install', 'upgrade', 'repair'];
            assert.ok(inOrder(place(dependency, ...upward), place(alias, ...upward)));
          }
        }
        for (const [alias, dependencies] of Object.entries(down)) {
          for (const dependency of Object.keys(dependencies)) {
            assert.ok(inOrder(place(alias, 'downgrade'), place(dependency, 'downgrade')));
            assert.ok(inOrder(place(alias, 'remove'), place(dependency, 'remove')));
          }
        }
      }),
    );
  });

  it('does not depend on the order of its inputs', () => {
    fc.assert(
      fc.property(anyVersions, anyVersions, (before, after) => {
        const reversed = <V>(map: ReadonlyMap<string, V>) => new Map([...map].reverse());
        const input = inputFor(before, after);
        const turned = {
          ...input,
          lock: { ...input.lock, modules: reversed(input.lock.modules) },
          installed: reversed(input.installed),
          graph: reversed(input.graph),
          installedGraph: reversed(input.installedGraph),
        };
        assert.deepEqual(plan(turned).steps, plan(input).steps);
        assert.deepEqual(plan(turned).keep, plan(input).keep);
      }),
    );
  });
});
