import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  dependencyOrder,
  dependentsOf,
  findCycles,
  findIncompatibilities,
  type GraphModules,
} from '../../src/repo/graph.ts';

type Plain = Readonly<
  Record<string, { version?: string; platform?: string; needs?: Readonly<Record<string, string>> }>
>;

function graphOf(modules: Plain): GraphModules {
  return new Map(
    Object.entries(modules).map(([alias, { version, platform, needs }]) => [
      alias,
      {
        version: version ?? '1.0.0',
        platformRange: platform,
        dependencies: new Map(Object.entries(needs ?? {})),
      },
    ]),
  );
}

/** The reference's graph: three modules on Orders, Orders on Products. */
const sample = {
  products: {},
  orders: { needs: { products: '^1.0.0' } },
  'store-shopify': { needs: { orders: '^1.0.0' } },
  communications: { needs: { orders: '^1.0.0' } },
  'mobile-app': { needs: { orders: '^1.0.0' } },
} satisfies Plain;

test('an incompatible Orders takes the three modules that depend on it along, and not Products', () => {
  const found = findIncompatibilities(
    graphOf({ ...sample, orders: { ...sample.orders, platform: '^99.0.0' } }),
    '2.0.0',
  );
  assert.deepEqual(
    found.map(({ alias, kind, because }) => [alias, kind, because]),
    [
      ['communications', 'refused-dependency', 'orders'],
      ['mobile-app', 'refused-dependency', 'orders'],
      ['orders', 'platform', undefined],
      ['store-shopify', 'refused-dependency', 'orders'],
    ],
  );
  assert.match(found[2]?.message ?? '', /platform 2\.0\.0 does not satisfy \^99\.0\.0/);
});

test('a missing Products takes everything along', () => {
  const { products: _, ...rest } = sample;
  const found = findIncompatibilities(graphOf(rest), '2.0.0');
  assert.equal(new Set(found.map(({ alias }) => alias)).size, 4);
  assert.match(
    found.find(({ alias }) => alias === 'orders')?.message ?? '',
    /orders 1\.0\.0 depends on products \^1\.0\.0, which is not there/,
  );
});

test('a dependency at another version is told with the range and the version', () => {
  const found = findIncompatibilities(
    graphOf({ ...sample, products: { version: '2.0.0' } }),
    '2.0.0',
  );
  assert.match(
    found.find(({ kind }) => kind === 'unsatisfied-dependency')?.message ?? '',
    /orders 1\.0\.0 depends on products \^1\.0\.0, found 2\.0\.0/,
  );
});

test('cycles are named from their first member, each once, and what hangs on them falls', () => {
  const modules = graphOf({
    a: { needs: { b: '*' } },
    b: { needs: { c: '*' } },
    c: { needs: { a: '*' } },
    own: { needs: { own: '*' } },
    outside: { needs: { a: '*' } },
    fine: {},
  });
  assert.deepEqual(findCycles(modules), [['a', 'b', 'c'], ['own']]);
  const found = findIncompatibilities(modules, '2.0.0');
  assert.match(found[0]?.message ?? '', /a is in a dependency cycle: a → b → c → a/);
  assert.deepEqual(
    found.map(({ alias, kind }) => `${alias} ${kind}`),
    [
      'a dependency-cycle',
      'b dependency-cycle',
      'c dependency-cycle',
      'outside refused-dependency',
      'own dependency-cycle',
    ],
  );
});

test('dependents are direct and sorted', () => {
  assert.deepEqual(dependentsOf(graphOf(sample)).get('orders'), [
    ...['communications', 'mobile-app', 'store-shopify'],
  ]);
});

test('a chain of 20,000 modules overflows nothing', () => {
  const chain = Object.fromEntries(
    Array.from({ length: 20_000 }, (_, index) => [
      `m${index}`,
      index === 0 ? {} : { needs: { [`m${index - 1}`]: '*' } },
    ]),
  );
  assert.equal(dependencyOrder(graphOf(chain)).at(-1), 'm19999');
  assert.deepEqual(findIncompatibilities(graphOf(chain), '2.0.0'), []);
});

/** Any graph whose modules depend only on earlier ones: no cycle. */
const acyclic = fc
  .array(fc.array(fc.nat(30), { maxLength: 4 }), { maxLength: 25 })
  .map((rows) =>
    graphOf(
      Object.fromEntries(
        rows.map((row, index) => [
          `m${index}`,
          { needs: Object.fromEntries(row.filter((n) => n < index).map((n) => [`m${n}`, '*'])) },
        ]),
      ),
    ),
  );

test('property: each module comes after its dependencies, whatever the order they are given in', () => {
  fc.assert(
    fc.property(acyclic, fc.infiniteStream(fc.nat()), (modules, random) => {
      const order = dependencyOrder(modules);
      for (const [alias, { dependencies }] of modules) {
        for (const dependency of dependencies.keys()) {
          assert.ok(order.indexOf(dependency) < order.indexOf(alias));
        }
      }
      const shuffled = [...modules]
        .map((entry) => ({ entry, key: random.next().value ?? 0 }))
        .sort((a, b) => a.key - b.key);
      assert.deepEqual(dependencyOrder(new Map(shuffled.map(({ entry }) => entry))), order);
      assert.deepEqual(findCycles(modules), []);
    }),
  );
});
