import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { readTrustedKeys, verifyCommit } from '../../src/git/signatures/commit-verifier.ts';
import { createRepository, type Repository } from '../support/repository.ts';
import {
  createSshKey,
  readCommitObject,
  type SshKeyFixture,
  sshSign,
  sshSigning,
  verdictOf,
  withoutSshKeygen,
  withSignature,
  writeCommitObject,
} from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const skip = withoutSshKeygen();

interface Signing {
  readonly repository: Repository;
  readonly ada: SshKeyFixture;
  /** A commit by Ada, signed. */
  readonly commit: string;
  /** The same without its signature. */
  readonly payload: Buffer;
  /** `good`, or the code of the refusal; git has to be of the same mind unless told. */
  verdict(commit: string, allowed: string, more?: VerdictOptions): Promise<string>;
}

interface VerdictOptions {
  readonly revoked?: string;
  /** What is not compared: where we refuse what git takes. */
  readonly isStricter?: boolean;
  readonly now?: Date;
}

function createSigning(t: TestContext): Signing {
  const repository = createRepository(t);
  const directory = temporaryDirectory(t, 'signers');
  const ada = createSshKey(t);
  repository.write({ 'a.txt': 'a\n' });
  repository.git('add', '-A');
  repository.git(...sshSigning(ada), 'commit', '-q', '-m', 'Über the moon');
  const commit = repository.git('rev-parse', 'HEAD');
  const signed = readCommitObject(repository, commit).toString('latin1');
  const payload = Buffer.from(signed.replace(/^gpgsig .*\n( .*\n)+/m, ''), 'latin1');
  let files = 0;
  const verdict: Signing['verdict'] = async (oid, allowed, more = {}) => {
    const path = join(directory, `allowed-${files++}`);
    const revokedKeys = more.revoked === undefined ? undefined : `${path}.revoked`;
    writeFileSync(path, allowed);
    if (revokedKeys !== undefined) writeFileSync(revokedKeys, more.revoked ?? '');
    const ours = await verdictOf(async () => {
      const keys = await readTrustedKeys({ allowedSigners: path, gpgKeys: undefined, revokedKeys });
      return verifyCommit(readCommitObject(repository, oid), keys, more.now ?? new Date());
    });
    const { status, stderr } = repository.tryGit(
      ...['-c', `gpg.ssh.allowedSignersFile=${path}`],
      ...(revokedKeys === undefined ? [] : ['-c', `gpg.ssh.revocationFile=${revokedKeys}`]),
      ...['verify-commit', oid],
    );
    if (more.isStricter === true) assert.equal(status, 0, `git refuses it too: ${stderr}`);
    else assert.equal(ours === 'good', status === 0, `${ours}, but git: ${stderr}`);
    return ours;
  };
  return { repository, ada, commit, payload, verdict };
}

describe('a commit signed with SSH', { skip, concurrency: 2 }, () => {
  it('is taken from every kind of key that ssh-keygen makes', async (t) => {
    const { repository, payload, verdict } = createSigning(t);
    for (const type of [
      ['ecdsa', '-b', '256'],
      ['ecdsa', '-b', '384'],
      ['ecdsa', '-b', '521'],
      ['rsa', '-b', '2048'],
    ]) {
      const key = createSshKey(t, ...type);
      const commit = writeCommitObject(repository, withSignature(payload, sshSign(key, payload)));
      assert.equal(await verdict(commit, `ada@example.com ${key.line}\n`), 'good', type.join(' '));
    }
  });

  it('is taken or refused as the allowed signers file says, as git does', async (t) => {
    const { ada, commit, verdict } = createSigning(t);
    const other = createSshKey(t);
    const cases: readonly [string, string][] = [
      [`ada@example.com ${ada.line} a comment\n`, 'good'],
      [`# who may\n\n  *@example.com   namespaces="git" ${ada.line}\n`, 'good'],
      [`"ada@example.com,ops@example.com" NAMESPACES="file,g?t" ${ada.line}`, 'good'],
      [`!eve@example.com,*@example.com ${ada.line}\n`, 'good'],
      [`somebody@else.org ${ada.line}\n`, 'good'],
      [`bob@example.com ${other.line}\nada@example.com ${ada.line}\n`, 'good'],
      [
        `ada@example.com valid-after="20200101",valid-before="20991231235959Z" ${ada.line}\n`,
        'good',
      ],
      [`ada@example.com valid-after="202001010000Z" ${ada.line}\r\n`, 'good'],
      [`ada@example.com ${other.line}\n`, 'commit-unknown-key'],
      ['', 'commit-unknown-key'],
      [`!ada@example.com ${ada.line}\n`, 'commit-unknown-key'],
      [`ada@example.com namespaces="file" ${ada.line}\n`, 'commit-wrong-namespace'],
      [`ada@example.com namespaces="!git,*" ${ada.line}\n`, 'commit-wrong-namespace'],
      [`ada@example.com valid-before="20200101" ${ada.line}\n`, 'commit-key-expired'],
      [`ada@example.com valid-after="20990101Z" ${ada.line}\n`, 'commit-key-expired'],
      [`ada@example.com valid-before="soon" ${ada.line}\n`, 'invalid-allowed-signers'],
      [`ada@example.com valid-before="20200231" ${ada.line}\n`, 'invalid-allowed-signers'],
      [`ada@example.com forever ${ada.line}\n`, 'invalid-allowed-signers'],
      [`ada@example.com ssh-ed25519 AAAAC3Nz\n`, 'invalid-allowed-signers'],
      ['ada@example.com\n', 'invalid-allowed-signers'],
    ];
    for (const [allowed, expected] of cases) {
      assert.equal(await verdict(commit, allowed), expected, allowed);
    }
  });

  it('is refused when its key is revoked, by key or fingerprint', async (t) => {
    const { ada, commit, verdict } = createSigning(t);
    const allowed = `ada@example.com ${ada.line}\n`;
    assert.equal(await verdict(commit, allowed, { revoked: '# nobody\n' }), 'good');
    const revoked = `${ada.line} lost\n`;
    assert.equal(await verdict(commit, allowed, { revoked }), 'commit-key-revoked');
    const fingerprint = { revoked: `${ada.fingerprint}\n` };
    assert.equal(await verdict(commit, allowed, fingerprint), 'commit-key-revoked');
  });

  it('is refused from a key that has expired since, whatever date the committer writes', async (t) => {
    const { ada, commit, verdict } = createSigning(t);
    const allowed = `ada@example.com valid-before="20990101Z" ${ada.line}\n`;
    const now = new Date('2099-06-01T00:00:00Z');
    const ours = await verdict(commit, allowed, { now, isStricter: true });
    assert.equal(ours, 'commit-key-expired');
  });

  it('is refused when the bytes, the namespace or the form are others', async (t) => {
    const { repository, ada, commit, payload, verdict } = createSigning(t);
    const allowed = `ada@example.com ${ada.line}\n`;
    const signature = sshSign(ada, payload);
    const of = (content: Buffer) => verdict(writeCommitObject(repository, content), allowed);
    const changed = Buffer.from(payload.toString('latin1').replace('moon', 'noon'), 'latin1');
    assert.equal(await of(payload), 'commit-unsigned');
    assert.equal(await of(withSignature(payload, signature)), 'good');
    assert.equal(await of(withSignature(changed, signature)), 'commit-bad-signature');
    const elsewhere = sshSign(ada, payload, 'file');
    assert.equal(await of(withSignature(payload, elsewhere)), 'commit-wrong-namespace');
    const cut = signature.replace(/\n.{10}/, '\n');
    assert.equal(await of(withSignature(payload, cut)), 'commit-bad-signature');
    // What stands in the header for the other object format is signed by nobody, for git too.
    const both = withSignature(withSignature(payload, signature), elsewhere, 'gpgsig-sha256');
    assert.equal(await of(both), 'good');
    // Another commit's signature.
    const moved = readCommitObject(repository, commit).toString('latin1');
    const own = /^gpgsig (.*\n(?: .*\n)+)/m.exec(moved)?.[1]?.replaceAll('\n ', '\n') ?? '';
    assert.equal(await of(withSignature(changed, own)), 'commit-bad-signature');
    const x509 = '-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----';
    assert.equal(await of(withSignature(payload, x509)), 'commit-signature-unsupported');
  });

  it('is refused where an object could be read in two ways, although git takes it', async (t) => {
    const { repository, ada, payload, verdict } = createSigning(t);
    const allowed = `ada@example.com ${ada.line}\n`;
    const taken = { isStricter: true };
    const text = payload.toString('latin1');
    const signedAs = (content: string) => {
      const bytes = Buffer.from(content, 'latin1');
      return writeCommitObject(repository, withSignature(bytes, sshSign(ada, bytes)));
    };
    const tree = /^tree (.*)$/m.exec(text)?.[1];
    for (const [what, content] of [
      ['a second tree', text.replace(/^committer /m, `tree ${tree}\n$&`)],
      ['a parent that git does not see', text.replace('\n\n', `\nparent ${tree}\n\n`)],
      ['a second author', text.replace('\n\n', '\nauthor Eve <eve@example.com> 1 +0000\n\n')],
      ['a NUL in the message', `${text}\0hidden\n`],
      ['a header that git does not sign', text.replace('\n\n', '\ngpgsig-other x\n\n')],
    ] as const) {
      // The last one is left out of what git checks, so that the signature above is over other bytes.
      const isStricter = !what.includes('does not sign');
      const ours = await verdict(signedAs(content), allowed, { isStricter });
      assert.equal(ours, 'commit-malformed', what);
    }
    const signature = sshSign(ada, payload);
    const long = withSignature(payload, `${signature}${'\n'.repeat(70_000)}end`);
    assert.equal(
      await verdict(writeCommitObject(repository, long), allowed, taken),
      'commit-malformed',
    );
    const twice = withSignature(withSignature(payload, signature), signature);
    const commit = writeCommitObject(repository, twice);
    assert.equal(await verdict(commit, allowed, taken), 'commit-malformed');
  });

  it('is taken with a merge of a signed tag in it', async (t) => {
    const { repository, ada, verdict } = createSigning(t);
    const sign = sshSigning(ada);
    repository.git('checkout', '-q', '-b', 'side');
    repository.git(...sign, 'commit', '-q', '--allow-empty', '-m', 'Side');
    repository.git(...sign, 'tag', '-s', '-m', 'Tagged', 'v1');
    repository.git('checkout', '-q', 'main');
    repository.git(...sign, 'commit', '-q', '--allow-empty', '-m', 'Main');
    repository.git(...sign, 'merge', '-q', '--no-ff', '-m', 'Merge', 'v1');
    const merge = repository.git('rev-parse', 'HEAD');
    assert.match(readCommitObject(repository, merge).toString(), /^mergetag object /m);
    assert.equal(await verdict(merge, `ada@example.com ${ada.line}\n`), 'good');
  });
});

describe('who signed', { skip }, () => {
  const signedBy = (t: TestContext) => {
    const { repository, ada, commit } = createSigning(t);
    const allowedSigners = join(temporaryDirectory(t, 'signers'), 'allowed');
    const signer = async (allowed: string) => {
      writeFileSync(allowedSigners, allowed);
      const files = { allowedSigners, gpgKeys: undefined, revokedKeys: undefined };
      const content = readCommitObject(repository, commit);
      return verifyCommit(content, await readTrustedKeys(files), new Date());
    };
    return { ada, signer };
  };

  it('is the committer where the line names it, else what the line says', async (t) => {
    const { ada, signer } = signedBy(t);
    const { fingerprint } = ada;
    const principal = 'ada@example.com';
    const found = await signer(`*@example.com ${ada.line}\n`);
    assert.deepEqual(found, { format: 'ssh', principal, fingerprint });
    assert.equal((await signer(`deployers ${ada.line}\n`)).principal, 'deployers');
  });

  it('tells the line of what is not supported', async (t) => {
    const { ada, signer } = signedBy(t);
    await assert.rejects(
      () => signer(`# ours\nca@example.com cert-authority ${ada.line}\n`),
      /allowed line 2: cert-authority is not supported/,
    );
    const dss = 'AAAAB3NzaC1kc3MAAAAA';
    await assert.rejects(() => signer(`eve@example.com ssh-dss ${dss}\n`), /line 1: "ssh-dss"/);
  });
});
