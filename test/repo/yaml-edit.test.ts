import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { parseRingFile, withHold, withoutHold } from '../../src/repo/ring.ts';
import { parseTenantsFile, withTenantAssigned } from '../../src/repo/tenants.ts';

const tenants = `# Ours.
tenants:
  acme: # the first
    ring: stable   # for now
    hostnames: [acme.example.com]

  # --- small ones
  foo: { ring: stable, hostnames: [foo.example.com] }
`;

const assign = (text: string, id: string, ring: string, reason: string) =>
  withTenantAssigned(parseTenantsFile(text), id, ring, reason, '2026-11-24');

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
