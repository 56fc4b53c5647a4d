import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RinglockError } from '../../src/errors.ts';
import { parseAllowedSigners } from '../../src/git/signatures/allowed-signers.ts';
import { verifyCommit } from '../../src/git/signatures/commit-verifier.ts';
import { parseRevokedKeys } from '../../src/git/signatures/revoked-keys.ts';
import { parseSignedCommit } from '../../src/git/signatures/signed-commit.ts';
import { parseSshPublicKey } from '../../src/git/signatures/ssh-key.ts';
import { matchesPatternList } from '../../src/git/signatures/ssh-pattern.ts';
import { isSshSigned, parseSshSignature } from '../../src/git/signatures/ssh-signature.ts';
import { parseSshTime } from '../../src/git/signatures/ssh-time.ts';
import { sshString } from '../../src/git/signatures/ssh-wire.ts';
import { withoutSshKeygen } from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const message = Buffer.from('a message\n');

function armor(blob: Buffer): string {
  const body = blob.toString('base64').replace(/.{70}/g, '$&\n');
  return `-----BEGIN SSH SIGNATURE-----\n${body}\n-----END SSH SIGNATURE-----\n`;
}

interface Parts {
  readonly key: Buffer;
  readonly signature: (signed: Buffer) => Buffer;
  readonly version?: number;
  readonly hash?: string;
  readonly reserved?: string;
}

/** A signature of `message`, put together by the format's description. */
function makeSignature({ key, signature, version = 1, hash = 'sha512', reserved = '' }: Parts) {
  const digest = createHash(hash === 'sha256' ? 'sha256' : 'sha512')
    .update(message)
    .digest();
  const magic = Buffer.from('SSHSIG');
  const signed = Buffer.concat([
    magic,
    ...['git', '', hash, digest].map((part) => sshString(part)),
  ]);
  const number = Buffer.alloc(4);
  number.writeUInt32BE(version);
  const fields = [key, 'git', reserved, hash, signature(signed)].map((part) => sshString(part));
  return armor(Buffer.concat([magic, number, ...fields]));
}

function ed25519() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const key = Buffer.concat(['ssh-ed25519', raw].map((part) => sshString(part)));
  const signature = (signed: Buffer) =>
    Buffer.concat([sshString('ssh-ed25519'), sshString(sign(null, signed, privateKey))]);
  return { raw, privateKey, key, signature };
}

/** What a security key makes, by a key in software (PROTOCOL.u2f). */
function fido(type: string, key: Buffer, signBytes: (bytes: Buffer) => Buffer, flags = 1) {
  return {
    key: Buffer.concat([sshString(type), key, sshString('ssh:')]),
    signature: (signed: Buffer) => {
      const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest();
      const rest = Buffer.from([flags, 0, 0, 0, 7]);
      const bytes = Buffer.concat([sha256('ssh:'), rest, sha256(signed)]);
      return Buffer.concat([sshString(type), sshString(signBytes(bytes)), rest]);
    },
  };
}

function ecdsaFields(privateKey: KeyObject, bytes: Buffer): Buffer {
  const pair = sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const number = (part: Buffer) => {
    const first = part.findIndex((byte) => byte !== 0);
    const least = part.subarray(first);
    return sshString((least[0] ?? 0) < 0x80 ? least : Buffer.concat([Buffer.alloc(1), least]));
  };
  return Buffer.concat([number(pair.subarray(0, 32)), number(pair.subarray(32))]);
}

const isGood = (text: string) => isSshSigned(parseSshSignature(text), message);

describe('the parts of a signature', () => {
  it('of a security key hold as for ssh-keygen, when the key was touched', {
    skip: withoutSshKeygen(),
  }, (t) => {
    const path = join(temporaryDirectory(t, 'sig'), 'sig');
    const holdsForSsh = (text: string) => {
      writeFileSync(path, text);
      const args = ['-Y', 'check-novalidate', '-n', 'git', '-s', path];
      execFileSync('ssh-keygen', args, { input: message, stdio: ['pipe', 'ignore', 'pipe'] });
    };
    const ed = ed25519();
    const edKey = (flags?: number) =>
      fido(
        'sk-ssh-ed25519@openssh.com',
        sshString(ed.raw),
        (bytes) => sign(null, bytes, ed.privateKey),
        flags,
      );
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
    const point = Buffer.concat([
      Buffer.from([4]),
      Buffer.from(x, 'base64url'),
      Buffer.from(y, 'base64url'),
    ]);
    const ecKey = Buffer.concat([sshString('nistp256'), sshString(point)]);
    const ec = fido('sk-ecdsa-sha2-nistp256@openssh.com', ecKey, (bytes) =>
      ecdsaFields(privateKey, bytes),
    );
    for (const made of [makeSignature(edKey()), makeSignature(ec)]) {
      holdsForSsh(made);
      assert.equal(isGood(made), true);
    }
    assert.throws(() => isGood(makeSignature(edKey(0))), /not touched/);
  });

  it('are refused by name where they are not as they should be', () => {
    const { key, signature } = ed25519();
    assert.equal(isGood(makeSignature({ key, signature, hash: 'sha256' })), true);
    // To be ignored, and not part of what is signed.
    assert.equal(isGood(makeSignature({ key, signature, reserved: 'x' })), true);
    const other = ed25519();
    assert.equal(isGood(makeSignature({ key, signature: other.signature })), false);
    const as = (type: string) => (bytes: Buffer) =>
      Buffer.concat([sshString(type), signature(bytes).subarray(4 + 'ssh-ed25519'.length)]);
    const cases: readonly [Parts, RegExp][] = [
      [{ key, signature, version: 2 }, /version is 2, expected 1/],
      [{ key, signature, hash: 'sha1' }, /hash is "sha1", expected sha256 or sha512/],
      [{ key, signature: as('ssh-rsa') }, /algorithm is "ssh-rsa", expected ssh-ed25519/],
      [{ key: Buffer.concat([key, Buffer.alloc(1)]), signature }, /1 bytes too many/],
      [{ key: key.subarray(0, -1), signature }, /32 bytes are announced, 31 left/],
      [{ key: sshString('ssh-ed25519-cert-v01@openssh.com'), signature }, /the certificate type/],
      [{ key: sshString('__proto__'), signature }, /"__proto__" is not accepted/],
    ];
    for (const [parts, expected] of cases)
      assert.throws(() => isGood(makeSignature(parts)), expected);
    const good = makeSignature({ key, signature });
    assert.throws(() => parseSshSignature(`${good}${good}`), { code: 'malformed-ssh-data' });
  });

  it('of RSA are refused with SHA-1, and from keys that are too short', () => {
    const rsa = (modulusLength: number) => {
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength });
      const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
      const modulus = Buffer.concat([Buffer.alloc(1), Buffer.from(n, 'base64url')]);
      const fields = ['ssh-rsa', Buffer.from(e, 'base64url'), modulus];
      return { key: Buffer.concat(fields.map((field) => sshString(field))), privateKey };
    };
    const { key, privateKey } = rsa(2048);
    const by = (algorithm: string, hash: string) => (bytes: Buffer) =>
      Buffer.concat([sshString(algorithm), sshString(sign(hash, bytes, privateKey))]);
    assert.equal(isGood(makeSignature({ key, signature: by('rsa-sha2-256', 'sha256') })), true);
    assert.throws(
      () => isGood(makeSignature({ key, signature: by('ssh-rsa', 'sha1') })),
      /"ssh-rsa"/,
    );
    assert.throws(() => parseSshPublicKey(rsa(1024).key), /ssh-rsa of 1024 bits/);
  });
});

describe('lists of keys', () => {
  it('of revoked ones name the line that is none, and refuse the binary form', () => {
    const openPgp = '0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567';
    const found = parseRevokedKeys(Buffer.from(`# lost\n\n${openPgp}\n`), 'revoked');
    assert.deepEqual([...found], ['0123456789abcdef0123456789abcdef01234567']);
    assert.throws(
      () => parseRevokedKeys(Buffer.from('# a\neve\n'), 'revoked'),
      /revoked line 2: "eve"/,
    );
    assert.throws(() => parseRevokedKeys(Buffer.from('SSHKRL\n\0'), 'revoked'), /binary/);
  });

  it('have times as ssh-keygen writes them', () => {
    assert.equal(parseSshTime('20261125Z'), Date.UTC(2026, 10, 25));
    assert.equal(parseSshTime('202611250102UTC'), Date.UTC(2026, 10, 25, 1, 2));
    assert.equal(parseSshTime('20261125010203'), new Date(2026, 10, 25, 1, 2, 3).getTime());
    for (const text of ['2026', '20261301', '20260230Z', '2026112525', '20261125T01', 'x']) {
      assert.equal(parseSshTime(text), undefined, text);
    }
  });

  it('match patterns with stars, question marks and exclusions', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 });
    const words = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 });
    fc.assert(
      fc.property(words, letters, (text, pattern) => {
        const source = pattern.replaceAll('*', '.*').replaceAll('?', '.');
        const model = new RegExp(`^${source}$`).test(text);
        assert.equal(matchesPatternList(text, pattern), model);
        assert.equal(matchesPatternList(text, `*,!${pattern}`), !model);
      }),
    );
    // Backtracking would not come to an end.
    assert.equal(matchesPatternList('a'.repeat(5000), `${'*a'.repeat(500)}b`), false);
  });
});

describe('hostile bytes', () => {
  const { key, signature } = ed25519();
  const good = makeSignature({ key, signature });
  const line = `ada@example.com ssh-ed25519 ${key.toString('base64')}`;
  const head = `tree ${'a'.repeat(40)}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n`;
  const commit = `${head}gpgsig ${good.trimEnd().replaceAll('\n', '\n ')}\n\nm\n`;
  const gpg = `${head}gpgsig -----BEGIN PGP SIGNATURE-----\n \n wnUEABYKACcFgmk\n =AAAA\n -----END PGP SIGNATURE-----\n\nm\n`;

  /** A text with a part replaced by anything. */
  const damaged = (text: string) =>
    fc
      .tuple(fc.nat(text.length), fc.nat(20), fc.oneof(fc.string(), fc.string({ unit: 'binary' })))
      .map(([at, length, inserted]) => text.slice(0, at) + inserted + text.slice(at + length));

  const onlyOurs = async (parse: () => unknown): Promise<void> => {
    try {
      await parse();
    } catch (error) {
      assert.ok(error instanceof RinglockError, String(error));
    }
  };

  it('end in an error that says what is wrong, whatever they are', async () => {
    const keys = {
      signers: parseAllowedSigners(line, 'allowed'),
      gpg: [],
      revoked: new Set<string>(),
    };
    const parsers: readonly [fc.Arbitrary<string>, (text: string) => unknown][] = [
      [damaged(line), (text) => parseAllowedSigners(text, 'allowed')],
      [
        damaged(`ada namespaces="git",valid-after="20200101" ${line.slice(16)}`),
        (text) => parseAllowedSigners(text, 'allowed'),
      ],
      [damaged(line.slice(16)), (text) => parseRevokedKeys(Buffer.from(text), 'revoked')],
      [damaged(good), (text) => isGood(text)],
      [damaged(commit), (text) => parseSignedCommit(Buffer.from(text))],
      [damaged(commit), (text) => verifyCommit(Buffer.from(text), keys, new Date())],
      [damaged(gpg), (text) => verifyCommit(Buffer.from(text), keys, new Date())],
    ];
    for (const [texts, parse] of parsers) {
      await fc.assert(fc.asyncProperty(texts, (text) => onlyOurs(() => parse(text))));
    }
    const bytes = fc.uint8Array({ maxLength: 200 });
    await fc.assert(fc.asyncProperty(bytes, (raw) => onlyOurs(() => parseSshPublicKey(raw))));
    // Damage behind the magic and the key's type.
    const blob = fc.tuple(fc.nat(key.length - 1), fc.nat(255)).map(([at, byte]) => {
      const copy = Buffer.from(key);
      copy[at] = byte;
      return copy;
    });
    await fc.assert(fc.asyncProperty(blob, (raw) => onlyOurs(() => parseSshPublicKey(raw))));
  });

  it('never pass for what was signed', async () => {
    const armored = makeSignature({ key, signature });
    const payload = parseSignedCommit(Buffer.from(commit)).payload;
    assert.equal(payload.toString(), `${head}\nm\n`);
    fc.assert(
      fc.property(fc.nat(message.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(message);
        changed[at] = (changed[at] ?? 0) ^ flip;
        assert.equal(isSshSigned(parseSshSignature(armored), changed), false);
      }),
    );
  });
});
