import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type RinglockError, refused } from '../../src/errors.ts';
import type { GraphModule } from '../../src/repo/graph.ts';
import { formatLock, type Lock, type LockEntry, parseLock } from '../../src/repo/lock.ts';
import { neededFromSource, type PromotionInput, planPromotion } from '../../src/repo/promotion.ts';
import { parseRingFile } from '../../src/repo/ring.ts';

function entryOf(version: string, fill = version.length): LockEntry {
  return {
    version,
    directory: 'Some',
    source: null,
    tree: 'a'.repeat(40),
    artifact: null,
    sha256: `sha256:${fill.toString(16).padStart(64, '0')}`,
    file_count: 3,
    size_bytes: 300,
    released_at: null,
  };
}

const lockOf = (ring: string, modules: Record<string, LockEntry>, platform = '2.0.0'): Lock => ({
  ring,
  platform,
  modules: new Map(Object.entries(modules)),
});

const moduleOf = (
  version: string,
  dependencies: Record<string, string> = {},
  platformRange?: string,
): GraphModule => ({
  version,
  platformRange,
  dependencies: new Map(Object.entries(dependencies)),
});

interface InputOptions extends Partial<PromotionInput> {
  readonly ringYaml?: string;
  readonly alias?: string;
  readonly promoted?: GraphModule | RinglockError;
}

function inputOf(from: Lock, to: Lock, more: InputOptions = {}): PromotionInput {
  const { alias = 'orders', promoted, ringYaml = `promotesFrom: ${from.ring}\n`, ...rest } = more;
  const entry = from.modules.get(alias) ?? entryOf('0.0.0');
  return {
    ...{ from, to, toText: formatLock(to), toRing: parseRingFile(ringYaml, to.ring).ring },
    wanted: [{ alias, entry, module: promoted ?? moduleOf(entry.version) }],
    targetGraph: new Map([...to.modules].map(([name, { version }]) => [name, moduleOf(version)])),
    ...{ isAll: false, allowDowngrade: false, movePlatform: false },
    ...rest,
  };
}

const canary = lockOf('canary', { orders: entryOf('1.1.0', 11), products: entryOf('1.0.0', 10) });
const edge = lockOf('edge', { orders: entryOf('1.0.0', 10), products: entryOf('1.0.0', 10) });

test('copies the entry of the ring before', () => {
  const { text, changes } = planPromotion(inputOf(canary, edge));
  assert.deepEqual(
    changes.map(({ alias, before, after }) => [alias, before?.version, after.version]),
    [['orders', '1.0.0', '1.1.0']],
  );
  assert.deepEqual(parseLock(text, 'edge').modules.get('orders'), canary.modules.get('orders'));
});

test('changes nothing when the target pins these bytes already', () => {
  const { changes, text, unchanged } = planPromotion(inputOf(canary, edge, { alias: 'products' }));
  assert.deepEqual(changes, []);
  assert.deepEqual(unchanged, [{ alias: 'products', version: '1.0.0' }]);
  assert.equal(text, formatLock(edge));
});

const refusals: readonly [string, string, RegExp, () => PromotionInput][] = [
  [
    'a target that promotes from another ring',
    'not-promotable',
    /manifests\/edge\.ring\.yaml promotes from beta, not from canary/,
    () => inputOf(canary, edge, { ringYaml: 'promotesFrom: beta\n' }),
  ],
  [
    'a target that tracks modules',
    'not-promotable',
    /tracks modules/,
    () => inputOf(canary, edge, { ringYaml: 'tracks: modules\n' }),
  ],
  [
    'a version that moves backwards',
    'backwards',
    /orders is at 1\.2\.0 in edge, promoting 1\.1\.0/,
    () => inputOf(canary, lockOf('edge', { orders: entryOf('1.2.0') })),
  ],
  [
    'another digest under the same version',
    'released-bytes',
    /orders 1\.1\.0 of canary has the digest sha256:0+b, edge has sha256:0+c/,
    () => inputOf(canary, lockOf('edge', { orders: entryOf('1.1.0', 12) })),
  ],
  [
    'a module that the target holds',
    'held',
    /held at 1\.0\.0 in edge \(slow queries\)/,
    () =>
      inputOf(canary, edge, {
        ringYaml:
          'promotesFrom: canary\nholds:\n  orders: {version: 1.0.0, reason: slow queries}\n',
      }),
  ],
  [
    'a platform that the target has not reached',
    'incompatible-lock',
    /platform 2\.0\.0 does not satisfy \^2\.1\.0/,
    () => inputOf(canary, edge, { promoted: moduleOf('1.1.0', {}, '^2.1.0') }),
  ],
  [
    'a dependency that the target lacks',
    'incompatible-lock',
    /depends on payments \^1\.0\.0, which is not there/,
    () => inputOf(canary, edge, { promoted: moduleOf('1.1.0', { payments: '^1.0.0' }) }),
  ],
  [
    'a dependency that the target has too old',
    'incompatible-lock',
    /depends on products \^1\.1\.0, found 1\.0\.0/,
    () => inputOf(canary, edge, { promoted: moduleOf('1.1.0', { products: '^1.1.0' }) }),
  ],
  [
    'a version that breaks a dependent in the target',
    'incompatible-lock',
    /products 1\.0\.0 depends on orders ~1\.0\.0, found 1\.1\.0/,
    () =>
      inputOf(canary, edge, {
        targetGraph: new Map([
          ['orders', moduleOf('1.0.0')],
          ['products', moduleOf('1.0.0', { orders: '~1.0.0' })],
        ]),
      }),
  ],
  [
    'an entry that its tree does not bear out',
    'tree-mismatch',
    /not what the lock says/,
    () => inputOf(canary, edge, { promoted: refused('tree-mismatch', 'not what the lock says') }),
  ],
];

for (const [what, code, message, input] of refusals) {
  test(`refuses ${what}`, () => {
    assert.throws(() => planPromotion(input()), { code, message });
  });
}

test('is not blocked by what was broken in the target before', () => {
  const targetGraph = new Map([
    ['orders', moduleOf('1.0.0')],
    ['products', moduleOf('1.0.0', { gone: '*' })],
  ]);
  assert.equal(planPromotion(inputOf(canary, edge, { targetGraph })).changes.length, 1);
});

const aliases = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const entries = fc.record({ patch: fc.nat(50), fill: fc.nat() }).map(({ patch, fill }) => {
  return entryOf(`1.0.${patch}`, fill);
});
const locks = fc.dictionary(aliases, entries, { maxKeys: 12, noNullPrototype: true });

test('property: every other entry stays, and the text is what the whole lock would be written as', () => {
  fc.assert(
    fc.property(aliases, locks, (alias, others) => {
      const to = lockOf('edge', { ...others, ...(others[alias] && { [alias]: entryOf('1.0.0') }) });
      const after = entryOf('2.0.0');
      const { text } = planPromotion(inputOf(lockOf('canary', { [alias]: after }), to, { alias }));
      const modules = new Map([...to.modules, [alias, after] as const]);
      assert.equal(text, formatLock({ ...to, modules }));
    }),
  );
});

test('property: every byte outside the entry stays, however the lock is written', () => {
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 3, '\t'), fc.boolean(), (indent, windows) => {
      const plain = JSON.stringify(JSON.parse(formatLock(edge)), null, indent);
      const toText = windows ? plain.replaceAll('\n', '\r\n') : plain;
      const { text } = planPromotion(inputOf(canary, edge, { toText }));
      const start = toText.indexOf('{', toText.indexOf('"orders"'));
      const end = toText.indexOf('}', start) + 1;
      assert.ok(text.startsWith(toText.slice(0, start)));
      assert.ok(text.endsWith(toText.slice(end)));
      assert.deepEqual(parseLock(text, 'edge').modules.get('orders'), canary.modules.get('orders'));
    }),
  );
});

test('several modules are one change: what they need of each other they have', () => {
  const from = lockOf('canary', { orders: entryOf('1.1.0'), products: entryOf('1.1.0') });
  const orders = moduleOf('1.1.0', { products: '^1.1.0' });
  const wanted = [
    { alias: 'orders', entry: entryOf('1.1.0'), module: orders },
    { alias: 'products', entry: entryOf('1.1.0'), module: moduleOf('1.1.0', {}, '^2.1.0') },
  ];
  assert.throws(() => planPromotion(inputOf(from, edge, { wanted: wanted.slice(0, 1) })), {
    message: /depends on products \^1\.1\.0, found 1\.0\.0/,
  });
  assert.throws(() => planPromotion(inputOf(from, edge, { wanted })), {
    message: /platform 2\.0\.0/,
  });
  const newer = { ...from, platform: '2.1.0' };
  const { changes, text, platform } = planPromotion(
    inputOf(newer, edge, { wanted, movePlatform: true }),
  );
  assert.deepEqual(
    changes.map(({ alias }) => alias),
    ['products', 'orders'],
  );
  assert.deepEqual(platform, { from: '2.0.0', to: '2.1.0' });
  assert.equal(text, formatLock({ ...edge, platform: '2.1.0', modules: newer.modules }));
});

test('all of a ring leaves out what the target holds or has newer, and says so', () => {
  const from = lockOf('canary', { orders: entryOf('1.1.0'), products: entryOf('0.9.0') });
  const ringYaml =
    'promotesFrom: canary\nholds:\n  orders: {version: 1.0.0, reason: slow queries}\n';
  const wanted = [...from.modules].map(([alias, entry]) => ({
    ...{ alias, entry, module: moduleOf(entry.version) },
  }));
  const { changes, skipped } = planPromotion(
    inputOf(from, edge, { wanted, isAll: true, ringYaml }),
  );
  assert.deepEqual(changes, []);
  assert.deepEqual(skipped, [
    { alias: 'orders', reason: 'it is held at 1.0.0 (slow queries)' },
    { alias: 'products', reason: 'edge has 1.0.0, which is greater' },
  ]);
  const back = inputOf(from, edge, { wanted: wanted.slice(1), allowDowngrade: true });
  assert.equal(planPromotion(back).changes[0]?.after.version, '0.9.0');
});

test('what is needed of the source is what the target lacks or has too old', () => {
  const source = lockOf('canary', {
    lacking: entryOf('1.0.0'),
    old: entryOf('1.2.0'),
    wrong: entryOf('3.0.0'),
    lower: entryOf('1.0.0'),
  });
  const promoted = new Map([
    [
      'orders',
      moduleOf('2.0.0', {
        lacking: '*',
        old: '^1.2.0',
        right: '*',
        wrong: '^2.0.0',
        lower: '^1.0.0',
      }),
    ],
  ]);
  const target = new Map([
    ['old', moduleOf('1.1.0')],
    ['right', moduleOf('1.0.0')],
    ['wrong', moduleOf('1.0.0')],
    ['lower', moduleOf('2.0.0')],
  ]);
  assert.deepEqual(neededFromSource(promoted, target, source), ['lacking', 'old']);
});
