import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import type { ReconcileOptions } from '../../src/reconcile/open-reconciler.ts';
import {
  deploy,
  push,
  readEvents,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { serveGit } from '../support/git-server.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { servedVersion } from '../support/ring.ts';
import {
  createGpgHome,
  createSshKey,
  type SshKeyFixture,
  withoutGpg,
  withoutSshKeygen,
} from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

interface SignedRing {
  readonly platform: Platform;
  /** The repository that is served at `repo`. */
  readonly remote: string;
  readonly repo: string;
  readonly root: string;
  readonly ada: SshKeyFixture;
  /** The mounted allowed signers, Ada among them. */
  readonly allowed: string;
  /** Commits Orders at a version, and pushes. */
  deployOrders(version: string, how?: 'signed' | 'unsigned'): string;
  /** Commits something that is not of `manifests/`, and pushes. */
  note(text: string, how?: 'signed' | 'unsigned'): string;
  /** Runs one pass that verifies. */
  pass(options?: Partial<ReconcileOptions>): Promise<Outcome>;
}

interface Outcome {
  readonly code: number;
  readonly said: string;
  /** The code of the last error, and the version of Orders that is served. */
  readonly error: string | undefined;
  readonly orders: string | undefined;
}

const modules = [
  { directory: 'Orders', alias: 'orders', version: '1.0.0' },
  { directory: 'Products', alias: 'products', version: '1.0.0' },
];

/** A ring whose first commit is signed, behind a git server over HTTP. */
async function createSignedRing(t: TestContext): Promise<SignedRing> {
  const platform = createPlatform(t, { rings: ['canary'], modules, commit: false });
  const ada = createSshKey(t);
  const sign = (how: 'signed' | 'unsigned') =>
    platform.git('config', 'commit.gpgSign', String(how === 'signed'));
  platform.git('config', 'gpg.format', 'ssh');
  platform.git('config', 'user.signingKey', ada.path);
  sign('signed');
  deploy(platform, 'Start the platform');
  const remote = platform.addRemote(t);
  const server = await serveGit(t, dirname(remote));
  const repo = `${server.url}/${remote.split('/').at(-1)}`;
  const root = temporaryDirectory(t, 'root');
  const allowed = join(temporaryDirectory(t, 'mount'), 'allowed_signers');
  writeFileSync(allowed, `ada@example.com namespaces="git" ${ada.line}\n`);
  return {
    ...{ platform, remote, repo, root, ada, allowed },
    deployOrders: (version, how = 'signed') => {
      sign(how);
      release(platform, 'Orders', version);
      return deploy(platform, `Orders ${version}`);
    },
    note: (text, how = 'signed') => {
      sign(how);
      return push(platform, platform.commit(text, { 'README.md': `${text}\n` }));
    },
    pass: async ({ root: at = root, ...more } = {}) => {
      const options = { allowedSigners: allowed, ...more };
      const { code, status } = await passInProcess({ repo, root: at }, options);
      const { last_error: error } = status;
      const said = `${error?.message} ${error?.hint}`;
      return { code, said, error: error?.code, orders: servedVersion(at, 'Orders') };
    },
  };
}

/** What an unsigned change is refused with, while a version goes on serving. */
const unsigned = (orders: string | undefined) => ({ code: 1, error: 'commit-unsigned', orders });

function assertOutcome({ said, ...outcome }: Outcome, expected: Omit<Outcome, 'said'>): void {
  assert.deepEqual(outcome, expected, said);
}

const deployed = (orders: string) => ({ code: 0, error: undefined, orders });

const refusals = (root: string) => readEvents(root).filter(({ outcome }) => outcome === 'refused');

describe('a ring whose commits have to be signed', {
  skip: withoutSshKeygen(),
  concurrency: 2,
}, () => {
  it('says who signed what it runs, in the status and in the audit', async (t) => {
    const { platform, repo, root, ada, allowed, deployOrders, pass } = await createSignedRing(t);
    const first = platform.git('rev-parse', 'HEAD');
    assertOutcome(await pass(), deployed('1.0.0'));
    const by = { by: 'ada@example.com', key: ada.fingerprint };
    assert.deepEqual(readStatusFile(root).verified, { commit: first, ...by });
    const commit = deployOrders('1.0.1');
    const { code, stderr } = await reconcileOnce({ repo, root }, ['--allowed-signers', allowed]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(readStatusFile(root).verified, { commit, ...by });
    const operation = readEvents(root).at(-1) as { detail: Record<string, string> };
    const { signed_by, signing_key } = operation.detail;
    assert.deepEqual({ by: signed_by, key: signing_key }, by);
  });

  it('refuses an unsigned change, also behind a signed commit, until a person lets it pass', async (t) => {
    const { root, deployOrders, note, pass } = await createSignedRing(t);
    assertOutcome(await pass(), deployed('1.0.0'));
    const hidden = deployOrders('1.0.1', 'unsigned');
    assertOutcome(await pass(), unsigned('1.0.0'));
    const tip = note('Signed');
    for (let time = 0; time < 2; time++) {
      const refused = await pass();
      assertOutcome(refused, unsigned('1.0.0'));
      assert.match(refused.said, new RegExp(`commit ${hidden} by Ada Developer <ada@example.com>`));
      assert.match(refused.said, new RegExp(`--trust-commit ${hidden}`));
    }
    assert.equal(refusals(root).length, 2, 'one for each tip');
    // A pod with an empty disk and nobody to ask looks who changed the lock.
    const fresh = temporaryDirectory(t, 'fresh');
    assertOutcome(await pass({ root: fresh }), unsigned(undefined));
    const trustCommits = [hidden];
    assertOutcome(await pass({ root: fresh, trustCommits }), deployed('1.0.1'));
    assertOutcome(await pass({ trustCommits }), deployed('1.0.1'));
    const trusted = readEvents(root).filter(({ action }) => action === 'operator');
    assert.deepEqual(
      trusted.map(({ detail }) => detail),
      [{ message: `--trust-commit lets ${hidden} pass`, commit: hidden, tip }],
    );
    deployOrders('1.0.2', 'unsigned');
    assertOutcome(await pass({ trustCommits }), unsigned('1.0.1'));
  });

  it('takes unsigned commits that leave manifests/ alone, but not as the tip', async (t) => {
    const { note, deployOrders, pass } = await createSignedRing(t);
    assertOutcome(await pass(), deployed('1.0.0'));
    note('Unsigned', 'unsigned');
    const refused = await pass();
    assertOutcome(refused, unsigned('1.0.0'));
    assert.match(refused.said, /a commit on top of it that an allowed signer signs is enough/);
    deployOrders('1.0.1');
    assertOutcome(await pass(), deployed('1.0.1'));
  });

  it('refuses an unsigned merge that brings signed bytes of before back', async (t) => {
    const { platform, deployOrders, note, pass } = await createSignedRing(t);
    assertOutcome(await pass(), deployed('1.0.0'));
    const old = platform.git('rev-parse', 'HEAD');
    deployOrders('1.0.1');
    assertOutcome(await pass(), deployed('1.0.1'));
    // The first parent and the content are of the old commit, both signed by Ada.
    const merge = platform.git(
      'commit-tree',
      '-m',
      'Merge',
      '-p',
      old,
      '-p',
      'HEAD',
      `${old}^{tree}`,
    );
    platform.git('reset', '-q', '--hard', merge);
    note('Signed');
    const refused = await pass();
    assertOutcome(refused, unsigned('1.0.1'));
    assert.match(refused.said, new RegExp(`commit ${merge}`));
    const fresh = temporaryDirectory(t, 'fresh');
    assertOutcome(await pass({ root: fresh }), unsigned(undefined));
  });

  it('begins where a root is when it is turned on, and forgets nothing when it is off', async (t) => {
    const { platform, root, deployOrders, note, pass } = await createSignedRing(t);
    const off = { allowedSigners: undefined };
    const start = deployOrders('1.0.1', 'unsigned');
    assertOutcome(await pass(off), deployed('1.0.1'));
    assert.equal(readStatusFile(root).verified, null);
    assertOutcome(await pass(), deployed('1.0.1'));
    const taken = { commit: start, by: null, key: null };
    assert.deepEqual(readStatusFile(root).verified, taken);
    assert.match(JSON.stringify(readEvents(root).at(-1)), new RegExp(`${start} is taken as it is`));
    note('Signed');
    assertOutcome(await pass(), deployed('1.0.1'));
    const unseen = deployOrders('1.0.2', 'unsigned');
    assertOutcome(await pass(off), deployed('1.0.2'));
    note('Signed again');
    const refused = await pass();
    assertOutcome(refused, unsigned('1.0.2'));
    assert.match(refused.said, new RegExp(`commit ${unseen}`));
    assert.equal(platform.git('rev-parse', 'HEAD^'), unseen);
  });

  it('knows through Postgres what was verified when a disk is lost', async (t) => {
    const { platform, root, note, pass } = await createSignedRing(t);
    const databaseUrl = await createDatabase();
    assertOutcome(await pass({ databaseUrl }), deployed('1.0.0'));
    // Not the lock: who had nobody to ask would look no further than that.
    platform.git('config', 'commit.gpgSign', 'false');
    platform.commit('Loosen', { 'manifests/ringlock.yaml': 'policy:\n  maxRemovals: 1\n' });
    note('Signed');
    const fresh = temporaryDirectory(t, 'fresh');
    assertOutcome(await pass({ root: fresh, databaseUrl }), unsigned(undefined));
    rmSync(join(root, 'repo.git'), { recursive: true });
    assertOutcome(await pass(), unsigned('1.0.0'));
  });

  it('lets no unsigned push stop what is being deployed', async (t) => {
    const { root, deployOrders, pass } = await createSignedRing(t);
    assertOutcome(await pass(), deployed('1.0.0'));
    deployOrders('1.0.1');
    const goOn = join(root, 'go-on');
    let looks = 0;
    const looked = await pass({
      notifyCommand: JSON.stringify([
        '/bin/sh',
        '-c',
        `until test -e ${goOn}; do sleep 0.02; done`,
      ]),
      nextLook: async (signal) => {
        looks += 1;
        if (looks === 1) deployOrders('1.0.2', 'unsigned');
        else writeFileSync(goOn, '');
        if (looks > 1 && !signal.aborted) await once(signal, 'abort');
      },
    });
    assertOutcome(looked, deployed('1.0.1'));
    assertOutcome(await pass(), unsigned('1.0.1'));
  });

  it('takes no lock whose last change it is not shown, unless a person does', async (t) => {
    const { platform, ada, remote, note, allowed } = await createSignedRing(t);
    for (let at = 0; at < 3; at++) note(`Signed ${at}`);
    const tip = platform.git('rev-parse', 'HEAD');
    const repo = temporaryDirectory(t, 'mirror.git');
    const firstContact = (trustCommits: string[] = []) => {
      const where = { repo, root: temporaryDirectory(t, 'fresh') };
      return passInProcess(where, { allowedSigners: allowed, trustCommits });
    };
    platform.git('clone', '-q', '--bare', '--depth', '2', `file://${remote}`, repo);
    const { last_error: error } = (await firstContact()).status;
    assert.equal(error?.code, 'commit-history-unproven');
    assert.match(error?.message ?? '', /not found in the 2 commits up to/);
    assert.equal((await firstContact([tip])).status.state, 'converged');
    platform.git('-C', repo, 'fetch', '-q', '--unshallow', remote, 'main');
    const { status } = await firstContact();
    assert.deepEqual(status.verified, { commit: tip, by: 'ada@example.com', key: ada.fingerprint });
  });

  it('verifies a rewritten branch as one that it meets for the first time', async (t) => {
    const { platform, deployOrders, note, pass } = await createSignedRing(t);
    deployOrders('1.0.1');
    assertOutcome(await pass(), deployed('1.0.1'));
    platform.git('reset', '-q', '--hard', 'HEAD^');
    platform.git('push', '-q', '--force', 'origin', 'HEAD');
    deployOrders('1.0.2', 'unsigned');
    const more = { allowRewind: true };
    const refused = { code: 1, error: 'branch-rewritten', orders: '1.0.1' };
    assertOutcome(await pass(), refused);
    assertOutcome(await pass(more), unsigned('1.0.1'));
    note('Signed');
    assertOutcome(await pass(more), unsigned('1.0.1'));
    deployOrders('1.0.3');
    assertOutcome(await pass(more), deployed('1.0.3'));
  });

  it('reads the keys again when they are replaced, and serves on while they cannot be read', async (t) => {
    const { ada, allowed, deployOrders, pass } = await createSignedRing(t);
    const bob = createSshKey(t);
    const unknown = { code: 1, error: 'commit-unknown-key', orders: undefined };
    writeFileSync(allowed, `bob@example.com ${bob.line}\n`);
    const refused = await pass();
    assertOutcome(refused, unknown);
    assert.match(refused.said, new RegExp(ada.fingerprint.replaceAll(/[+/]/g, '\\$&')));
    writeFileSync(allowed, `ada@example.com ${ada.line}\nbob@example.com ${bob.line}\n`);
    assertOutcome(await pass(), deployed('1.0.0'));
    deployOrders('1.0.1');
    const revoked = `${allowed}.revoked`;
    writeFileSync(revoked, `${ada.fingerprint}\n`);
    const environment = {
      RINGLOCK_ALLOWED_SIGNERS_FILE: allowed,
      RINGLOCK_REVOKED_KEYS_FILE: revoked,
    };
    const revokedKey = { code: 1, error: 'commit-key-revoked', orders: '1.0.0' };
    assertOutcome(await pass({ allowedSigners: undefined, environment }), revokedKey);
    rmSync(allowed);
    const unreadable = { code: 3, error: 'signers-unreadable', orders: '1.0.0' };
    assertOutcome(await pass(), unreadable);
    writeFileSync(allowed, `ada@example.com ${ada.line}\nnot a line\n`);
    const invalid = { code: 1, error: 'invalid-allowed-signers', orders: '1.0.0' };
    assertOutcome(await pass(), invalid);
  });

  it('takes commits that are signed with OpenPGP', { skip: withoutGpg() }, async (t) => {
    const { platform, root, deployOrders, pass } = await createSignedRing(t);
    const home = createGpgHome(t);
    const key = home.createKey('Grace <grace@example.com>');
    const keys = temporaryDirectory(t, 'keys');
    writeFileSync(join(keys, 'grace.asc'), home.gpg(['--export', '--armor', key]));
    platform.git('config', 'gpg.format', 'openpgp');
    platform.git('config', 'gpg.program', home.program());
    platform.git('config', 'user.signingKey', key);
    const commit = deployOrders('1.0.1');
    assertOutcome(await pass({ allowedSigners: undefined, gpgKeys: keys }), deployed('1.0.1'));
    assert.deepEqual(readStatusFile(root).verified, {
      commit,
      by: 'Grace <grace@example.com>',
      key,
    });
    assertOutcome(await pass({ root: temporaryDirectory(t, 'fresh') }), {
      ...{ code: 1, error: 'commit-unknown-key', orders: undefined },
    });
  });

  it('refuses flags that cannot be meant', async (t) => {
    const platform = createPlatform(t, { rings: ['canary'], modules });
    platform.write({ allowed_signers: '' });
    const root = temporaryDirectory(t, 'root');
    const own = join(platform.path, 'allowed_signers');
    const commit = platform.git('rev-parse', 'HEAD');
    for (const [more, expected] of [
      [['--allowed-signers', own], /signers .*lies in .*: keys come from a mount/],
      [['--allowed-signers', join(root, 'current/keys')], /keys come from a mount/],
      [['--revoked-keys', own], /--revoked-keys is given, and no key that may sign/],
      [['--trust-commit', commit], /--trust-commit is given, and no key that may sign/],
      [['--gpg-keys', '/elsewhere', '--trust-commit', commit.slice(0, 8)], /Give the full id/],
    ] as const) {
      const { code, stderr } = await reconcileOnce({ repo: platform.path, root }, more);
      assert.equal(code, 2, stderr);
      assert.match(stderr, expected);
    }
  });
});
