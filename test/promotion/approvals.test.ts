import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { approveVersion } from '../../src/promotion/approve-version.ts';
import { openGateSources } from '../../src/promotion/gate-sources.ts';
import { proposePromotion } from '../../src/promotion/promote-modules.ts';
import { approvalLine } from '../../src/repo/approval-text.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { errorOf } from '../support/error-of.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { gitEnvironment } from '../support/repository.ts';
import {
  createGpgHome,
  createSshKey,
  type SshKeyFixture,
  sshSigning,
  withoutGpg,
  withoutSshKeygen,
} from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { entryOf, gatedPlatform, releaseOrders, sourcesOf } from './gated-platform.ts';

after(stopOwnPostgres);

/** A platform whose edge asks for approvals, with the keys of Ada, Bob and Eve. */
async function approvedPlatform(t: TestContext, gates: string, lines: (keys: Keys) => string[]) {
  const platform = await gatedPlatform(t, gates);
  const keys: Keys = { ada: createSshKey(t), bob: createSshKey(t), eve: createSshKey(t) };
  const allowedSigners = join(temporaryDirectory(t, 'signers'), 'allowed');
  writeFileSync(allowedSigners, `${lines(keys).join('\n')}\n`);
  const pin = { ring: 'edge', alias: 'orders', ...entryOf(platform, 'canary') };
  /** Signs a tag as somebody. */
  const tag = (name: string, key: SshKeyFixture | undefined, email: string, message: string) => {
    const sign =
      key === undefined ? [] : ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${key.path}`];
    const args = [...sign, 'tag', key === undefined ? '-a' : '-s', '-m', message, name];
    execFileSync('git', args, {
      cwd: platform.path,
      env: { ...gitEnvironment, GIT_COMMITTER_EMAIL: email },
    });
  };
  const folder = 'approve/edge/orders@1.1.0';
  const propose = async (more: { gpgKeys?: string } = {}) => {
    const repository = await findRepository(platform.path);
    const place = { workingDirectory: '/', environment: gitEnvironment, now: new Date() };
    const sources = await openGateSources({ allowedSigners, ...more }, repository, place);
    return proposePromotion(
      repository,
      {
        ...{ from: 'canary', to: 'edge', modules: ['orders'], withDependencies: false },
        ...{ allowDowngrade: false, movePlatform: false, reason: undefined, override: undefined },
      },
      sources,
      openPackages,
    );
  };
  return { platform, keys, pin, tag, folder, propose, line: approvalLine(pin) };
}

interface Keys {
  readonly ada: SshKeyFixture;
  readonly bob: SshKeyFixture;
  readonly eve: SshKeyFixture;
}

const two = 'approvals: 2\napprovers: [bob@example.com, carol@example.com, ada@example.com]';

test('signed tags approve bytes, each approver and key once', {
  skip: withoutSshKeygen(),
}, async (t) => {
  const { keys, tag, folder, propose, line, pin, platform } = await approvedPlatform(
    t,
    two,
    (k) => [
      `ada@example.com ${k.ada.line}`,
      `bob@example.com ${k.bob.line}`,
      // Eve may sign commits, and could write any address of the company.
      `*@example.com ${k.eve.line}`,
    ],
  );
  const none = await errorOf(propose());
  assert.equal(none.code, 'gates-closed');
  assert.match(
    none.message,
    /approvals: 0 of 2 approvals, none yet; may approve: bob@example\.com, carol@example\.com, ada@example\.com/,
  );
  tag(`${folder}/unsigned`, undefined, 'bob@example.com', `x\n\n${line}`);
  tag(`${folder}/eve-as-carol`, keys.eve, 'carol@example.com', `x\n\n${line}`);
  const other = `sha256:${'0'.repeat(64)}`;
  tag(
    `${folder}/other-bytes`,
    keys.bob,
    'bob@example.com',
    approvalLine({ ...pin, sha256: other }),
  );
  tag(
    `${folder}/other-ring`,
    keys.bob,
    'bob@example.com',
    approvalLine({ ...pin, ring: 'stable' }),
  );
  tag(
    `${folder}/other-version`,
    keys.bob,
    'bob@example.com',
    approvalLine({ ...pin, version: '1.1.1' }),
  );
  platform.git('tag', `${folder}/lightweight`);
  const unmoved = await errorOf(propose());
  for (const [name, why] of [
    ['unsigned', /unsigned does not count: it is unsigned/],
    ['eve-as-carol', /eve-as-carol does not count: carol@example\.com is no approver/],
    ['other-bytes', /other-bytes does not count: it approves the bytes sha256:0{64}, not sha256:/],
    ['other-ring', /other-ring does not count: it has no line "Approve: edge orders@1\.1\.0"/],
    ['other-version', /other-version does not count: it has no line/],
    ['lightweight', /lightweight does not count: it is a lightweight tag/],
  ] as const) {
    assert.match(unmoved.message, why, name);
  }
  assert.match(unmoved.message, /: 0 of 2 approvals/);
  tag(`${folder}/bob`, keys.bob, 'bob@example.com', `looks good\n\n${line}`);
  tag(`${folder}/bob-again`, keys.bob, 'carol@example.com', line);
  assert.match((await errorOf(propose())).message, /1 of 2 approvals, by bob@example\.com; may/);
  // Without a digest it is what the tagged commit's locks pin.
  tag(`${folder}/ada`, keys.ada, 'ada@example.com', approvalLine({ ...pin, sha256: undefined }));
  assert.match(
    (await propose()).message,
    /approvals: approved by ada@example\.com, bob@example\.com/,
  );
});

test('signed commits approve too, and what was changed since does not count', {
  skip: withoutSshKeygen(),
}, async (t) => {
  const { keys, propose, platform, pin } = await approvedPlatform(
    t,
    'approvals: 1\napprovers: [bob@example.com]',
    (k) => [`bob@example.com,b@example.com ${k.bob.line}`],
  );
  const line = approvalLine({ ...pin, sha256: undefined });
  const commit = (...config: string[]) =>
    platform.git(...config, 'commit', '-q', '--allow-empty', '-m', `Approve orders\n\n${line}`);
  commit();
  assert.match(
    (await errorOf(propose())).message,
    /commit [0-9a-f]{12} does not count: it is unsigned/,
  );
  commit(...sshSigning(keys.bob));
  assert.match((await propose()).message, /approved by bob@example\.com/);
  // The same version with other bytes: the approval was of what its commit pinned.
  const lock = JSON.parse(platform.read('manifests/canary.lock.json'));
  const kept = platform.git('rev-parse', 'HEAD');
  platform.change('Orders', 'sneaked in');
  platform.git('add', '-A');
  await releaseOrders(platform, '1.1.0');
  assert.notEqual(entryOf(platform, 'canary').sha256, lock.modules.orders.sha256);
  const sneaked = await errorOf(propose());
  assert.match(
    sneaked.message,
    /does not count: it names no bytes, and its commit does not pin sha256:/,
  );
  platform.git('reset', '-q', '--hard', kept);
  assert.ok(await propose());
});

test('ring approve signs what the ring before pins, as git is set up to', {
  skip: withoutSshKeygen(),
}, async (t) => {
  const { keys, propose, platform, pin } = await approvedPlatform(
    t,
    'approvals: 1\napprovers: [bob@example.com]',
    (k) => [`bob@example.com ${k.bob.line}`],
  );
  const repository = await findRepository(platform.path);
  platform.git('config', 'user.name', 'Bob');
  platform.git('config', 'user.email', 'bob@example.com');
  platform.git('config', 'gpg.format', 'ssh');
  platform.git('config', 'user.signingKey', '/no/such/key');
  const unsigned = await errorOf(approveVersion(repository, 'orders', 'edge', undefined));
  assert.equal(unsigned.code, 'not-signed');
  assert.equal(platform.git('tag'), '');
  platform.git('config', 'user.signingKey', keys.bob.path);
  const made = await approveVersion(repository, 'Orders@1.1.0', 'edge', 'tested by hand');
  assert.deepEqual(made, {
    ...{ ring: 'edge', alias: 'orders', version: '1.1.0', sha256: pin.sha256 },
    tag: 'approve/edge/orders@1.1.0/bob-example-com',
    push: 'git push origin refs/tags/approve/edge/orders@1.1.0/bob-example-com',
  });
  // Here Bob promotes it too.
  const alone = await errorOf(propose());
  assert.match(
    alone.message,
    /1 of 1 approvals, by bob@example\.com; who promotes does not approve/,
  );
  platform.git('config', 'user.email', 'release@example.com');
  assert.match((await propose()).message, /approved by bob@example\.com/);
  platform.git('config', 'user.email', 'bob@example.com');
  const again = await errorOf(approveVersion(repository, 'orders', 'edge', undefined));
  assert.equal(again.code, 'already-approved');
  assert.equal(
    (await errorOf(approveVersion(repository, 'orders@3.0.0', 'edge', undefined))).code,
    'unknown-version',
  );
});

test('an OpenPGP key approves by its address or fingerprint', { skip: withoutGpg() }, async (t) => {
  const home = createGpgHome(t);
  const fingerprint = home.createKey('Carol <carol@example.com>');
  const { propose, platform, line, folder } = await approvedPlatform(
    t,
    'approvals: 1\napprovers: [carol@example.com]',
    ({ ada }) => [`ada@example.com ${ada.line}`],
  );
  const gpgKeys = join(temporaryDirectory(t, 'gpg'), 'keys.asc');
  writeFileSync(gpgKeys, home.gpg(['--export', '--armor', fingerprint]));
  platform.git(
    ...['-c', `gpg.program=${home.program()}`, '-c', `user.signingKey=${fingerprint}`],
    ...['tag', '-s', '-m', line, `${folder}/carol`],
  );
  assert.match((await propose({ gpgKeys })).message, /approved by carol@example\.com/);
});

test('keys in the repository vouch for nothing', async (t) => {
  const { platform } = await approvedPlatform(t, two, ({ ada }) => [`ada@example.com ${ada.line}`]);
  platform.write({ 'allowed-signers': 'x' });
  const repository = await findRepository(platform.path);
  const place = { ...sourcesOf(), workingDirectory: platform.path };
  const error = await errorOf(
    openGateSources({ allowedSigners: 'allowed-signers' }, repository, place),
  );
  assert.equal(error.code, 'signers-in-repository');
});
