import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { findRepository } from '../../src/git/git-command.ts';
import { resumeRing, suspendRing } from '../../src/git/ring-suspension.ts';
import { parseRingFile, withoutSuspension, withSuspension } from '../../src/repo/ring.ts';
import { runCli } from '../support/cli.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const file = 'manifests/canary.ring.yaml';
const orders = { directory: 'Orders', alias: 'orders', version: '1.0.0' };
const now = new Date('2026-11-25T18:00:00.123Z');

test('rings are suspended and resumed by commits', async (t) => {
  const platform = createPlatform(t, { rings: ['edge', 'canary'], modules: [orders] });
  const repository = await findRepository(platform.path);
  const root = temporaryDirectory(t, 'root');
  const pass = () => passInProcess({ repo: platform.path, root });

  await t.test('a suspended ring keeps what it serves until it is resumed', async () => {
    assert.equal((await pass()).status.state, 'converged');
    const before = platform.read(file);
    const reason = 'refunds: "1.4" is slow\n# looking';
    const args = ['ring', 'suspend', 'canary', '--reason', reason, '--commit', '--json'];
    const suspended = await runCli(platform.path, args);
    assert.equal(suspended.code, 0, suspended.stderr);
    const answer = JSON.parse(suspended.stdout);
    assert.equal(answer.commit, platform.git('rev-parse', 'HEAD'));
    assert.ok(platform.read(file).startsWith(before), 'comments and order stay');
    assert.deepEqual(parse(platform.read(file)).suspended, answer.suspension);
    assert.equal(answer.suspension.reason, reason);
    assert.equal(answer.suspension.by, 'Ada Developer <ada@example.com>');
    assert.match(answer.suspension.since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const message = platform.git('log', '-1', '--format=%B');
    assert.match(message, /^Suspend canary\n\nrefunds: "1\.4" is slow\n# looking$/);

    const lock = platform.read('manifests/canary.lock.json');
    platform.commit('A lock that would not do', {
      'manifests/canary.lock.json': lock.replace('"version": "1.0.0"', '"version": "1.0.1"'),
    });
    const { status } = await pass();
    assert.equal(status.state, 'suspended');
    assert.match(status.last_error?.message ?? '', /the ring is suspended: refunds/);
    platform.git('revert', '--no-edit', 'HEAD');

    const resumed = await runCli(platform.path, ['ring', 'resume', 'canary', '--commit']);
    assert.match(resumed.stdout, /suspends canary no longer \(refunds/);
    assert.equal(platform.read(file), before);
    assert.equal(platform.git('status', '--porcelain'), '');
    assert.equal((await pass()).status.state, 'converged');
  });

  await t.test('a second suspension takes nobody’s reason away', async () => {
    const options = { commit: false };
    const first = await suspendRing(repository, 'edge', 'a migration', now, options);
    assert.deepEqual(first.next, ['git commit -m "Suspend edge" -- manifests/edge.ring.yaml']);
    const text = platform.read('manifests/edge.ring.yaml');
    const again = await suspendRing(repository, 'edge', 'another', now, options);
    assert.deepEqual([again.changed, again.suspension], [false, first.suspension]);
    assert.equal(platform.read('manifests/edge.ring.yaml'), text);
    assert.equal((await resumeRing(repository, 'edge', options)).changed, true);
    assert.equal(platform.git('status', '--porcelain'), '');
    const idle = await resumeRing(repository, 'edge', options);
    assert.deepEqual([idle.changed, idle.next], [false, []]);
  });

  await t.test('unknown rings, empty reasons and edits of others are refused', async () => {
    const suspend = (ring: string, reason: string) =>
      suspendRing(repository, ring, reason, now, { commit: true });
    await assert.rejects(suspend('beta', 'x'), { code: 'unknown-ring' });
    await assert.rejects(suspend('../edge', 'x'), { code: 'invalid-ring-name' });
    await assert.rejects(suspend('edge', ' '), { code: 'empty-reason' });
    platform.write({ 'manifests/edge.ring.yaml': '# Mine.\npromotesFrom: canary\n' });
    await assert.rejects(suspend('edge', 'x'), { code: 'file-changed' });
    assert.equal(platform.read('manifests/edge.ring.yaml'), '# Mine.\npromotesFrom: canary\n');
    // What is wrong elsewhere stops nobody.
    platform.write({ 'manifests/tenants.yaml': 'tenants: [' });
    const done = await suspendRing(repository, 'canary', 'x', now, { commit: false });
    assert.equal(done.changed, true);
  });
});

test('a suspension goes in and out of every form of a ring’s file without another change', () => {
  const suspension = { reason: 'x', since: '2026-11-25T18:00:00Z' };
  for (const text of [
    '# One.\ntracks: modules # yes\n',
    'tracks: modules',
    'tracks: modules\nholds:\n  orders: { version: 1.0.0, reason: "a: b" } # kept\n# the end\n',
    'hostnames: [a.example.com,   b.example.com]\n\n\npromotesFrom: canary\n',
  ]) {
    const suspended = withSuspension(parseRingFile(text, 'edge'), suspension);
    assert.deepEqual(parseRingFile(suspended, 'edge').ring.suspended, suspension);
    const resumed = withoutSuspension(parseRingFile(suspended, 'edge'));
    assert.equal(resumed.trimEnd(), text.trimEnd());
  }
  const amid = 'suspended: {reason: x} # now\n# next\nbranch: main\n';
  assert.equal(withoutSuspension(parseRingFile(amid, 'edge')), '# next\nbranch: main\n');
  const flow = '{ suspended: true, branch: main }\n';
  assert.deepEqual(parse(withoutSuspension(parseRingFile(flow, 'edge'))), { branch: 'main' });
  const alone = 'suspended: true\n';
  assert.equal(
    parseRingFile(withoutSuspension(parseRingFile(alone, 'edge')), 'edge').ring.suspended,
    undefined,
  );
});
