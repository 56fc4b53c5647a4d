import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseVersions } from '../../src/promotion/train-choice.ts';
import type { GateVerdict } from '../../src/repo/gate-verdicts.ts';
import type { LockEntry } from '../../src/repo/lock.ts';
import { parseRingFile } from '../../src/repo/ring.ts';

const { gates } = parseRingFile('gates: {soak: 1h, requires: [{command: x}]}\n', 'edge').ring;

const entry = (version: string) => ({ version, sha256: `sha256:${version}` }) as LockEntry;

/** Candidates of orders, of which some failed, soaked, or passed the checks. */
async function choose(
  versions: readonly string[],
  of: { readonly failed?: string; readonly soaked: string; readonly checked: string },
) {
  const asked: string[] = [];
  const choice = await chooseVersions(
    gates,
    [{ alias: 'orders', entries: versions.map(entry) }],
    (_, { version }) => (of.failed?.includes(version) === true ? 'it failed' : undefined),
    async ({ requires }, pins) =>
      pins.map(({ alias, entry: { version, sha256 } }) => {
        const isCheck = requires.length > 0;
        if (isCheck) asked.push(version);
        const isFine = (isCheck ? of.checked : of.soaked).includes(version);
        const state: GateVerdict['state'] = isFine ? 'open' : 'closed';
        const gate: GateVerdict['gate'] = isCheck ? 'requires' : 'soak';
        const verdict = { gate, name: gate, state, message: '', opens_at: null };
        return { alias, version, sha256, is_return: false, gates: [verdict] };
      }),
  );
  return {
    goes: choice.entries.get('orders')?.version,
    waits: choice.waiting.map(({ version, gates: all }) => [version, all.map(({ gate }) => gate)]),
    failed: choice.failed.map(({ version }) => version),
    asked,
  };
}

test('the greatest version that passes goes, and checks are asked only about what passed all else', async () => {
  assert.deepEqual(await choose(['3', '2', '1'], { failed: '3', soaked: '2 1', checked: '2 1' }), {
    ...{ goes: '2', waits: [], failed: ['3'], asked: ['2'] },
  });
  // A check that does not agree with it leaves room for the one before.
  assert.deepEqual(await choose(['3', '2', '1'], { soaked: '3 1', checked: '2 1' }), {
    ...{ goes: '1', waits: [], failed: [], asked: ['3', '1'] },
  });
});

test('of a module of which nothing goes, the greatest version says what it waits for', async () => {
  assert.deepEqual(await choose(['2', '1'], { soaked: '', checked: '' }), {
    ...{ goes: undefined, waits: [['2', ['soak']]], failed: [], asked: [] },
  });
  assert.deepEqual(await choose(['2', '1'], { soaked: '2 1', checked: '' }), {
    ...{ goes: undefined, waits: [['2', ['soak', 'requires']]], failed: [], asked: ['2', '1'] },
  });
});
