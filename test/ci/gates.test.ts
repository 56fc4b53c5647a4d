import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findGateProblems } from '../../src/ci/gate-findings.ts';
import { gatedPlatform, sourcesOf } from '../promotion/gated-platform.ts';
import { runCli } from '../support/cli.ts';
import { rangeOf } from '../support/pipeline.ts';
import type { Platform } from '../support/platform.ts';

const edge = 'manifests/edge.lock.json';

/** Copies canary's entry by hand, as somebody who is in a hurry does. */
function promoteByHand(platform: Platform, alias: string): string {
  const [from, to] = ['canary', 'edge'].map((ring) =>
    JSON.parse(platform.read(`manifests/${ring}.lock.json`)),
  );
  to.modules[alias] = from.modules[alias];
  return platform.commit(`Edit ${alias}`, { [edge]: `${JSON.stringify(to, null, 2)}\n` });
}

async function found(platform: Platform): Promise<string[]> {
  const { repository, range } = await rangeOf(platform, {}, { target: 'main' });
  const findings = await findGateProblems(repository, range, sourcesOf());
  return findings.map(({ check, alias, file }) => `${check} ${alias} ${file}`);
}

test('a bare edit of a pinned lock skips no gate, also on a branch that takes the gates away, or where they cannot be judged', async (t) => {
  const platform = await gatedPlatform(
    t,
    'freeze: [{from: 2020-01-01, to: 2999-01-01, reason: for good}]',
  );
  const without = JSON.parse(platform.read(edge));
  delete without.modules['mobile-app'];
  platform.commit('One less', { [edge]: `${JSON.stringify(without, null, 2)}\n` });
  platform.addRemote(t);
  platform.git('checkout', '-qb', 'topic');
  promoteByHand(platform, 'orders');
  platform.commit('No gates', {
    'manifests/edge.ring.yaml': 'namespace: platform-edge\npromotesFrom: canary\n',
  });
  assert.deepEqual(await found(platform), [`gate-closed orders ${edge}`]);
  const { code, stdout } = await runCli(platform.path, ['ci', 'lock', '--target', 'main']);
  assert.equal(code, 1);
  assert.match(stdout, /edge\.lock\.json: orders 1\.1\.0\n {4}closed {4}freeze: .*for good/);
  // The target goes on: a module that the branch does not know is none that it takes out.
  platform.git('checkout', '-q', 'main');
  promoteByHand(platform, 'mobile-app');
  platform.git('push', '-q');
  platform.git('checkout', '-q', 'topic');
  platform.git('reset', '-q', '--hard', 'main~1');
  platform.commit('Else', { 'README.md': 'else\n' });
  assert.deepEqual(await found(platform), []);
  // What cannot be judged here ends with 3, and says what the job needs.
  platform.git('checkout', '-q', 'main');
  platform.commit('Soak', {
    'manifests/edge.ring.yaml': 'promotesFrom: canary\ngates: {soak: 1h}\n',
  });
  platform.git('push', '-q');
  platform.git('checkout', '-qb', 'soaking');
  promoteByHand(platform, 'orders');
  const args = ['ci', 'lock', '--target', 'main', '--json'];
  const unjudged = await runCli(platform.path, args, { DATABASE_URL: '' });
  assert.equal(unjudged.code, 3);
  const [finding] = JSON.parse(unjudged.stdout).findings;
  assert.equal(finding.check, 'gate-unjudged');
  assert.match(finding.mend, /DATABASE_URL/);
});
