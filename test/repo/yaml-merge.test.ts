import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { type MergeShape, meansTheSame, mergeData } from '../../src/repo/data-merge.ts';
import { mergeYamlFile } from '../../src/repo/yaml-merge.ts';

const base = `# Ours.
tenants:
  # --- stable
  acme: # the first
    ring: stable   # for now
    hostnames: [acme.example.com]
    modules: [orders, products]

  # --- small ones
  foo: { ring: stable, hostnames: [foo.example.com] }
  # about bar
  bar:
    ring: edge
# the end
`;

const edit = (...changes: (readonly [string, string])[]) =>
  changes.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), from);
    return text.replace(from, to);
  }, base);

const merged = (ours: string, theirs: string, path = 'manifests/tenants.yaml', from = base) => {
  const merge = mergeYamlFile(path, { base: from, ours, theirs }, undefined);
  assert.ok(merge !== undefined);
  return merge;
};

describe('merging tenants.yaml', () => {
  it('takes each side’s changes of different tenants, with the comments around them', () => {
    const ours = edit(
      ['stable   # for now', 'edge   # opted in'],
      ['# the end', '  # new here\n  quux:\n    ring: stable\n# the end'],
    );
    const theirs = edit(
      ['{ ring: stable, hostnames: [foo.example.com] }', '{ ring: canary } # moved'],
      ['  # about bar\n', '  # the baz\n  baz:\n    ring: edge # new\n  # more about bar\n'],
    );
    const expected = `# Ours.
tenants:
  # --- stable
  acme: # the first
    ring: edge   # opted in
    hostnames: [acme.example.com]
    modules: [orders, products]

  # --- small ones
  foo: { ring: canary } # moved
  # the baz
  baz:
    ring: edge # new
  # more about bar
  bar:
    ring: edge
  # new here
  quux:
    ring: stable
# the end
`;
    assert.deepEqual(merged(ours, theirs), { conflicts: [], text: expected });
  });

  it('merges the fields of one tenant, and its lists as sets', () => {
    const ours = edit(
      ['acme.example.com]', 'acme.example.com, shop.acme.example.com]'],
      ['[orders, products]', '[orders, quotes]'],
      ['stable   # for now', 'edge   # for now'],
    );
    const theirs = edit(
      ['acme.example.com]', 'acme.example.com, www.acme.example.com]'],
      ['[orders, products]', '[loyalty, orders, products]'],
    );
    const { text } = merged(ours, theirs);
    assert.equal(
      text?.split('\n').slice(3, 7).join('\n'),
      `  acme: # the first
    ring: edge   # for now
    hostnames: [acme.example.com, shop.acme.example.com, www.acme.example.com]
    modules: [orders, quotes, loyalty]`,
    );
    const [before, after] = [base, text ?? ''].map((each) => each.match(/#.*/g));
    assert.deepEqual(after, before);
  });

  it('takes the later day where both sides did the same', () => {
    const move = (day: string) =>
      edit(['    ring: edge\n', `    ring: stable\n    since: ${day}\n`]);
    const { text } = merged(move('2026-11-24'), move('2026-11-25'));
    assert.equal(text, move('2026-11-25'));
  });

  it('names what it cannot decide: two rings, a removal beside a change, a hostname for two', () => {
    const removed = edit(['  bar:\n    ring: edge\n', '']);
    for (const [ours, theirs, conflict] of [
      [
        edit(['stable   #', 'edge   #']),
        edit(['stable   #', 'canary   #']),
        'acme.ring: edge on our side, canary on theirs',
      ],
      [
        removed,
        edit(['ring: edge', 'ring: canary']),
        'bar: absent on our side, {"ring":"canary"} on theirs',
      ],
      [
        edit(['[acme.example.com]', '[acme.example.com, shop.example.com]']),
        edit(['[foo.example.com]', '[foo.example.com, shop.example.com]']),
        'shop.example.com is a hostname of tenant acme and of tenant foo',
      ],
    ] as const) {
      assert.deepEqual(merged(ours, theirs), { conflicts: [conflict], text: undefined });
    }
    const [ours, theirs] = [edit(['stable   #', 'edge   #']), edit(['stable   #', 'canary   #'])];
    for (const side of ['ours', 'theirs', 'base'] as const) {
      const texts = { base, ours, theirs };
      const preferred = mergeYamlFile('manifests/tenants.yaml', texts, undefined, side);
      assert.equal(preferred?.text, texts[side]);
    }
    const unchanged = merged(removed, base);
    assert.equal(unchanged.text, removed);
  });

  it('takes what merged line by line only if it means the right thing', () => {
    const [ours, theirs] = [edit(['ring: edge', 'ring: canary']), edit(['# the end', '# end'])];
    const right = edit(['ring: edge', 'ring: canary'], ['# the end', '# END']);
    const texts = { base, ours, theirs };
    assert.equal(mergeYamlFile('manifests/tenants.yaml', texts, right)?.text, right);
    const wrong = mergeYamlFile('manifests/tenants.yaml', texts, base);
    assert.equal(wrong?.text, edit(['ring: edge', 'ring: canary'], ['# the end', '# end']));
    const twice = `${ours}  bar: { ring: stable }\n`;
    assert.equal(mergeYamlFile('manifests/tenants.yaml', texts, twice)?.text, wrong?.text);
  });

  it('is not for what cannot be read as tenants, or another file', () => {
    for (const [path, ours] of [
      ['manifests/tenants.yaml', 'tenants: [a'],
      ['manifests/tenants.yaml', 'tenants: {a: {}}'],
      ['manifests/ringlock.yaml', 'roots: [modules]'],
    ] as const) {
      assert.equal(mergeYamlFile(path, { base, ours, theirs: base }, undefined), undefined);
    }
  });

  it('begins with nothing where both sides added the file', () => {
    const { text } = merged(
      'tenants:\n  a: { ring: edge }\n',
      'tenants:\n  b: { ring: edge }\n',
      undefined,
      '',
    );
    assert.deepEqual(parse(text ?? ''), { tenants: { a: { ring: 'edge' }, b: { ring: 'edge' } } });
    const empty = merged('tenants: {}\n', 'tenants:\n  b: { ring: edge }\n', undefined, '');
    assert.deepEqual(parse(empty.text ?? ''), { tenants: { b: { ring: 'edge' } } });
  });
});

it('a ring’s file merges by setting and hold', () => {
  const path = 'manifests/edge.ring.yaml';
  const ring = '# The ring.\nhostnames: [a.example.com]\npromotesFrom: canary # always\n';
  const hold = (alias: string) => `  ${alias}:\n    version: 1.0.0\n    reason: slow\n`;
  const held = `${ring}holds:\n${hold('orders')}`;
  const both = merged(held, `${ring}holds:\n${hold('products')}`, path, ring);
  assert.equal(both.text, `${held}${hold('products')}`);
  const other = held.replace('slow', 'wrong');
  assert.deepEqual(merged(held, other, path, ring).conflicts, [
    'holds.orders: {"version":"1.0.0","reason":"slow"} on our side, {"version":"1.0.0","reason":"wrong"} on theirs',
  ]);
  const ended = merged(ring, `${held}${hold('products')}`, path, held);
  assert.equal(ended.text, `${ring}holds:\n${hold('products')}`);
});

const shape: MergeShape = {
  keys: {
    tenants: { keys: {}, others: { keys: { modules: 'set', since: 'later' }, others: 'value' } },
  },
  others: 'value',
};
const tenant = fc.record(
  {
    ring: fc.constantFrom('edge', 'canary'),
    modules: fc.uniqueArray(fc.constantFrom('a', 'b', 'c')),
    since: fc.constantFrom('2026-01-01', '2026-01-02'),
    reason: fc.constantFrom('x', 'y'),
  },
  { requiredKeys: ['ring'] },
);
const file = fc.record({ tenants: fc.dictionary(fc.constantFrom('t', 'u', 'v'), tenant) });

it('property: data merges the same whoever merges whom, and a side without changes takes the other', () => {
  fc.assert(
    fc.property(file, file, file, (before, ours, theirs) => {
      const one = mergeData({ base: before, ours, theirs }, shape, 'base');
      const other = mergeData({ base: before, ours: theirs, theirs: ours }, shape, 'base');
      assert.ok(meansTheSame(one.value, other.value, shape));
      const paths = (a: unknown, b: unknown) =>
        mergeData({ base: before, ours: a, theirs: b }, shape)
          .conflicts.map(({ path }) => path.join('.'))
          .sort();
      assert.deepEqual(paths(ours, theirs), paths(theirs, ours));
      for (const [a, b] of [
        [before, ours],
        [ours, before],
        [ours, ours],
      ] as const) {
        const { value, conflicts } = mergeData({ base: before, ours: a, theirs: b }, shape);
        assert.deepEqual([value, conflicts], [ours, []]);
      }
    }),
    { numRuns: 100 },
  );
});

it('property: whatever merges as data has a text that says so, with our comments and order', () => {
  const text = ({ tenants }: { tenants: Record<string, object> }, style: number) =>
    `# top\ntenants:${Object.keys(tenants).length === 0 ? ' {}' : ''}\n${Object.entries(tenants)
      .map(([id, fields]) => {
        const lines = Object.entries(fields).map(
          ([key, value]) => `    ${key}: ${JSON.stringify(value)} # ${key} of ${id}\n`,
        );
        return style % 2
          ? `  # on ${id}\n  ${id}: ${JSON.stringify(fields)}\n`
          : `  # on ${id}\n  ${id}:\n${lines.join('')}`;
      })
      .join('')}# end\n`;
  fc.assert(
    fc.property(file, file, file, fc.nat(3), (before, mine, yours, style) => {
      const texts = {
        base: text(before, style),
        ours: text(mine, style),
        theirs: text(yours, style >> 1),
      };
      const merge = mergeYamlFile('manifests/tenants.yaml', texts, undefined);
      const data = mergeData({ base: before, ours: mine, theirs: yours }, shape);
      assert.equal(merge?.conflicts.length, data.conflicts.length);
      if (data.conflicts.length > 0) return;
      assert.ok(meansTheSame(parse(merge?.text ?? ''), data.value, shape), merge?.text);
      assert.ok(merge?.text?.startsWith('# top\n') && merge.text.endsWith('# end\n'), merge?.text);
    }),
    { numRuns: 50 },
  );
});
