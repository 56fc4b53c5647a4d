import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readTrustedKeys, verifyCommit } from '../../src/git/signatures/commit-verifier.ts';
import { createRepository, type Repository } from '../support/repository.ts';
import {
  createGpgHome,
  type GpgHome,
  mountKeys,
  readCommitObject,
  verdictOf,
  withoutGpg,
  withSignature,
  writeCommitObject,
} from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Signing {
  readonly repository: Repository;
  readonly home: GpgHome;
  /** A payload to sign. */
  readonly payload: Buffer;
  sign(payload: Buffer, ...options: readonly string[]): string;
  store(payload: Buffer, armored: string): string;
  /** `good`, or a code; gpg, with the same keys, has to be of the same mind unless told. */
  verdict(commit: string, keys: Uint8Array | string, isStricter?: boolean): Promise<string>;
}

function createSigning(t: TestContext): Signing {
  const repository = createRepository(t);
  const home = createGpgHome(t);
  const commit = repository.commit('Over the moon', { 'a.txt': 'a\n' });
  const payload = readCommitObject(repository, commit);
  const mount = temporaryDirectory(t, 'keys');
  const sign: Signing['sign'] = (bytes, ...options) =>
    home.gpg([...options, '--detach-sign', '--armor'], bytes).toString();
  return {
    repository,
    home,
    payload,
    sign,
    store: (bytes, armored) => writeCommitObject(repository, withSignature(bytes, armored)),
    verdict: async (oid, keys, isStricter = false) => {
      mountKeys(mount, { 'keys.asc': keys, '..data': 'not looked at' });
      const files = { allowedSigners: undefined, gpgKeys: mount, revokedKeys: undefined };
      const ours = await verdictOf(async () =>
        verifyCommit(readCommitObject(repository, oid), await readTrustedKeys(files), new Date()),
      );
      const pool = createGpgHome(t);
      pool.gpg(['--import'], keys);
      const program = ['-c', `gpg.program=${pool.program()}`];
      const { status, stderr } = repository.tryGit(...program, 'verify-commit', oid);
      if (isStricter) assert.equal(status, 0, `gpg refuses it too: ${stderr}`);
      else assert.equal(ours === 'good', status === 0, `${ours}, but git: ${stderr}`);
      return ours;
    },
  };
}

/** gpg at a time of the past; a second later at each call would not do: keys are older than what they sign. */
const in2020 = ['--faked-system-time', '20200101T000000'];
const later2020 = ['--faked-system-time', '20200601T000000'];

describe('a commit signed with OpenPGP', { skip: withoutGpg(), concurrency: 2 }, () => {
  it('is taken from a mounted key, armored or binary, and from no other', async (t) => {
    const { home, payload, sign, store, verdict } = createSigning(t);
    const ada = home.createKey('Ada <ada@example.com>');
    const bob = home.createKey('Bob <bob@example.com>');
    const commit = store(payload, sign(payload, '-u', ada));
    assert.equal(await verdict(commit, home.gpg(['--export', '--armor', ada])), 'good');
    assert.equal(await verdict(commit, home.gpg(['--export', bob, ada])), 'good');
    assert.equal(await verdict(commit, home.gpg(['--export', bob])), 'commit-unknown-key');
    const text = payload.toString().replace('moon', 'noon');
    const other = store(Buffer.from(text), sign(payload, '-u', ada));
    assert.equal(await verdict(other, home.gpg(['--export', ada])), 'commit-bad-signature');
  });

  it('is taken from a subkey until that is revoked', async (t) => {
    const { home, payload, sign, store, verdict } = createSigning(t);
    const ada = home.createKey('Ada <ada@example.com>', ...in2020);
    home.gpg([...in2020, '--pinentry-mode', 'loopback', '--quick-add-key', ada, 'ed25519', 'sign']);
    const commit = store(payload, sign(payload, '-u', ada));
    assert.equal(await verdict(commit, home.gpg(['--export', ada])), 'good');
    home.gpg(
      ['--command-fd', '0', '--yes', '--pinentry-mode', 'loopback', '--edit-key', ada],
      'key 1\nrevkey\ny\n0\n\ny\nsave\n',
    );
    assert.equal(await verdict(commit, home.gpg(['--export', ada])), 'commit-key-revoked');
  });

  it('is refused once its key is revoked', async (t) => {
    const { home, payload, sign, store, verdict } = createSigning(t);
    const ada = home.createKey('Ada <ada@example.com>');
    const commit = store(payload, sign(payload, '-u', ada));
    assert.equal(await verdict(commit, home.gpg(['--export', ada])), 'good');
    home.revoke(ada);
    assert.equal(await verdict(commit, home.gpg(['--export', ada])), 'commit-key-revoked');
  });

  it('is refused once its key or itself has expired', async (t) => {
    const { home, payload, sign, store, verdict } = createSigning(t);
    const ada = home.createKey('Ada <ada@example.com>', ...in2020);
    const brief = store(
      payload,
      sign(payload, '-u', ada, ...later2020, '--default-sig-expire', '1d'),
    );
    assert.equal(await verdict(brief, home.gpg(['--export', ada])), 'commit-key-expired');
    const lasting = store(payload, sign(payload, '-u', ada, ...later2020));
    assert.equal(await verdict(lasting, home.gpg(['--export', ada])), 'good');
    home.gpg([...in2020, '--pinentry-mode', 'loopback', '--quick-set-expire', ada, '1y']);
    assert.equal(await verdict(lasting, home.gpg(['--export', ada])), 'commit-key-expired');
  });

  it('is refused over a weak hash, over text, or twice, although gpg takes some of it', async (t) => {
    const { home, payload, sign, store, verdict } = createSigning(t);
    const ada = home.createKey('Ada <ada@example.com>');
    const keys = home.gpg(['--export', ada]);
    const unsupported = 'commit-signature-unsupported';
    const weak = store(
      payload,
      sign(payload, '-u', ada, '--digest-algo', 'SHA1', '--allow-weak-digest-algos'),
    );
    assert.equal(await verdict(weak, keys, true), unsupported);
    const asText = store(payload, sign(payload, '-u', ada, '--textmode'));
    assert.equal(await verdict(asText, keys, true), unsupported);
    const bob = home.createKey('Bob <bob@example.com>');
    const both = store(payload, sign(payload, '-u', ada, '-u', bob));
    assert.equal(await verdict(both, home.gpg(['--export'])), 'commit-bad-signature');
  });

  it('needs public keys in the files that are mounted', async (t) => {
    const { home } = createSigning(t);
    const gpgKeys = join(temporaryDirectory(t, 'keys'), 'keys.gpg');
    const read = () =>
      readTrustedKeys({ allowedSigners: undefined, gpgKeys, revokedKeys: undefined });
    await assert.rejects(read, { code: 'signers-unreadable', exitCode: 3 });
    home.createKey('Ada <ada@example.com>');
    const secret = ['--pinentry-mode', 'loopback', '--export-secret-keys'];
    for (const content of ['', 'nothing', home.gpg(secret)]) {
      writeFileSync(gpgKeys, content);
      await assert.rejects(read, { code: 'invalid-gpg-keys' });
    }
  });
});
