import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { parseRingFile, withHold, withoutHold } from '../../src/repo/ring.ts';
import { parseTenantsFile, withTenantsAssigned } from '../../src/repo/tenants.ts';
import {
  withoutYamlItem,
  withoutYamlValue,
  withYamlItem,
  withYamlValue,
} from '../../src/repo/yaml-edit.ts';

const tenants = `# Ours.
tenants:
  acme: # the first
    ring: stable   # for now
    hostnames: [acme.example.com]

  # --- small ones
  foo: { ring: stable, hostnames: [foo.example.com] }
`;

const assign = (text: string, id: string, ring: string, reason: string) =>
  withTenantsAssigned(parseTenantsFile(text), new Set([id]), { ring, reason, since: '2026-11-24' });

test('assigning a tenant changes its own lines only', () => {
  assert.equal(
    assign(tenants, 'acme', 'edge', 'opt-in'),
    `# Ours.
tenants:
  acme: # the first
    ring: edge   # for now
    hostnames: [acme.example.com]
    reason: opt-in
    since: 2026-11-24

  # --- small ones
  foo: { ring: stable, hostnames: [foo.example.com] }
`,
  );
});

test('a tenant written on one line is edited too, every comment kept', () => {
  const text = assign(tenants, 'foo', 'edge', 'a, b: {c} # d');
  const { ring, reason } = parseTenantsFile(text).tenants.get('foo') ?? {};
  assert.deepEqual([ring, reason], ['edge', 'a, b: {c} # d']);
  for (const comment of ['# Ours.', '# the first', '# for now', '# --- small ones']) {
    assert.ok(text.includes(comment), comment);
  }
});

test('a hold comes below the others, and goes without a trace', () => {
  const text = '# The ring.\npromotesFrom: canary # always\n';
  const hold = { version: '1.0.0', reason: 'slow: see the report' };
  const held = withHold(parseRingFile(text, 'edge'), 'orders', hold);
  assert.equal(
    held,
    `${text}holds:\n  orders:\n    version: 1.0.0\n    reason: "slow: see the report"\n`,
  );
  const both = withHold(parseRingFile(held, 'edge'), 'products', hold);
  assert.ok(both.startsWith(held));
  assert.deepEqual([...parseRingFile(both, 'edge').ring.holds.keys()], ['orders', 'products']);
  assert.equal(withoutHold(parseRingFile(held, 'edge'), 'orders'), text);
});

test('property: whatever the reason, it is read back, all else is as before, comments and order stay', () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/), { minLength: 1 });
  const reasons = fc.string({ unit: 'grapheme' });
  fc.assert(
    fc.property(ids, fc.array(fc.boolean()), reasons, fc.nat(), (names, flow, reason, pick) => {
      const text = `# top\ntenants:\n${names
        .map((id, index) =>
          flow[index] === true
            ? `  # about ${id}\n  ${id}: { ring: stable, reason: 'x' } # end ${id}\n`
            : `  # about ${id}\n  ${id}: # on ${id}\n    ring: stable # end ${id}\n`,
        )
        .join('')}`;
      const id = names[pick % names.length] ?? '';
      const edited = assign(text, id, 'edge', reason);
      const expected = parse(text);
      expected.tenants[id] = { ...expected.tenants[id], ring: 'edge', reason, since: '2026-11-24' };
      assert.deepEqual(parse(edited), expected);
      assert.deepEqual(Object.keys(parse(edited).tenants), Object.keys(expected.tenants));
      for (const comment of text.match(/# .*$/gm) ?? []) assert.ok(edited.includes(comment));
      assert.equal(assign(edited, id, 'edge', reason), edited);
    }),
  );
});

test('what stands after the last entry stays there', () => {
  const text = 'tenants:\n  acme:\n    ring: edge\n    # about acme\n  # about nobody\n# the end\n';
  assert.equal(
    withYamlValue(text, ['tenants', 'acme', 'reason'], 'x'),
    text.replace('edge\n', 'edge\n    reason: x\n'),
  );
  const foo = '  foo:\n    ring: edge\n    modules: [a]\n';
  assert.equal(
    withYamlValue(text, ['tenants', 'foo'], { ring: 'edge', modules: ['a'] }, 'flow'),
    text.replace('    # about acme\n', `    # about acme\n${foo}`),
  );
});

test('a tenant whose fields another one anchors is assigned, too', () => {
  const text =
    'tenants:\n  acme: &all\n    ring: stable\n    modules: &modules [a]\n  foo:\n    ring: stable\n    modules: *modules\n';
  const edited = withTenantsAssigned(parseTenantsFile(text), new Set(['foo', 'acme']), {
    ...{ ring: 'edge', reason: 'x', since: '2026-11-24' },
  });
  assert.deepEqual(
    [...parseTenantsFile(edited).tenants.values()].map(({ id, ring, modules }) => [
      id,
      ring,
      modules,
    ]),
    [
      ['acme', 'edge', ['a']],
      ['foo', 'edge', ['a']],
    ],
  );
});

test('property: a list gets and loses items on its own lines, however it is written', () => {
  const items = fc.uniqueArray(fc.constantFrom('a', '*.b', 'c-d', 'e'), { maxLength: 3 });
  const styles = fc.constantFrom('flow', 'block', 'loose');
  fc.assert(
    fc.property(items, fc.constantFrom('a', '*.b', 'x', 'y: z'), styles, (list, item, style) => {
      const inner =
        style === 'block' && list.length > 0
          ? `modules: # these\n${list.map((each) => `    - ${JSON.stringify(each)} # ${each}\n`).join('')}`
          : `modules: [${style === 'loose' ? ' ' : ''}${list.map((each) => JSON.stringify(each)).join(style === 'loose' ? ' ,  ' : ', ')}] # these\n`;
      const text = `# top\nt:\n  # before\n  ${inner}  ring: x   # after\n# end\n`;
      const path = ['t', 'modules'];
      const longer = withYamlItem(text, path, item);
      assert.deepEqual(parse(longer).t, { modules: [...list, item], ring: 'x' });
      const shorter = withoutYamlItem(text, path, item);
      assert.deepEqual(
        parse(shorter).t.modules,
        list.filter((each) => each !== item),
      );
      for (const edited of [longer, shorter]) {
        assert.ok(edited.startsWith('# top\nt:\n  # before\n  modules:'), edited);
        assert.ok(edited.endsWith('  ring: x   # after\n# end\n'), edited);
        assert.ok(edited.includes('# these'), edited);
      }
      if (!(list as string[]).includes(item))
        assert.deepEqual(parse(withoutYamlItem(longer, path, item)), parse(text));
      const gone = withoutYamlValue(text, path);
      assert.equal(gone, '# top\nt:\n  # before\n  ring: x   # after\n# end\n');
    }),
    { numRuns: 60 },
  );
});
