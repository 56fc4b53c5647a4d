import type { PublicKey } from 'openpgp';
import { RinglockError, refused } from '../../errors.ts';
import { type AllowedSigner, parseAllowedSigners, principalOf } from './allowed-signers.ts';
import { readGpgKeys, readTrusted } from './gpg-keys.ts';
import { isGpgSignature, verifyGpgSignature } from './gpg-signature.ts';
import { parseRevokedKeys } from './revoked-keys.ts';
import { parseSignedCommit } from './signed-commit.ts';
import { parseSignedTag } from './signed-tag.ts';
import { matchesPatternList } from './ssh-pattern.ts';
import { isSshSignature, isSshSigned, parseSshSignature } from './ssh-signature.ts';

/** Where the keys of those who may deploy lie: paths of this machine, never of the repository. */
export interface SignerFiles {
  readonly allowedSigners: string | undefined;
  /** A file, or a directory of files. */
  readonly gpgKeys: string | undefined;
  readonly revokedKeys: string | undefined;
}

/** Who signed a commit. */
export interface Signer {
  readonly format: 'ssh' | 'openpgp';
  /** The e-mail address or pattern of the allowed signers file, or the key's user id. */
  readonly principal: string;
  /** `SHA256:<base64>` of an SSH key, hex of an OpenPGP one. */
  readonly fingerprint: string;
}

/** The keys as their files have them at one moment. */
export interface TrustedKeys {
  readonly signers: readonly AllowedSigner[];
  readonly gpg: readonly PublicKey[];
  /** Fingerprints. */
  readonly revoked: ReadonlySet<string>;
}

/**
 * Reads the keys anew, so that a mounted secret that is replaced takes effect.
 *
 * @throws RinglockError `signers-unreadable`, `invalid-allowed-signers`, `invalid-gpg-keys`,
 *   `invalid-revoked-keys`
 */
export async function readTrustedKeys(files: SignerFiles): Promise<TrustedKeys> {
  const { allowedSigners, gpgKeys, revokedKeys } = files;
  return {
    signers:
      allowedSigners === undefined
        ? []
        : parseAllowedSigners((await readTrusted(allowedSigners)).toString(), allowedSigners),
    gpg: gpgKeys === undefined ? [] : await readGpgKeys(gpgKeys),
    revoked:
      revokedKeys === undefined
        ? new Set()
        : parseRevokedKeys(await readTrusted(revokedKeys), revokedKeys),
  };
}

/**
 * Checks the signature of one commit object. An SSH key has to be valid at the committer's date, as git
 * asks, and now: that date is whatever the committer writes.
 *
 * @param content of the object, as git stores it
 * @throws RinglockError `commit-malformed`, `commit-unsigned`, `commit-signature-unsupported`,
 *   `commit-bad-signature`, `commit-unknown-key`, `commit-wrong-namespace`, `commit-key-expired`,
 *   `commit-key-revoked`; the message is about the signature, whoever calls names the commit
 */
export async function verifyCommit(content: Buffer, keys: TrustedKeys, now: Date): Promise<Signer> {
  const { payload, signature, committer } = parseSignedCommit(content);
  return verifySigned({ payload, signature, signer: committer }, keys, now);
}

/**
 * The same of a tag object.
 *
 * @throws RinglockError `tag-malformed`, and as verifyCommit()
 */
export async function verifyTag(content: Buffer, keys: TrustedKeys, now: Date): Promise<Signer> {
  const { payload, signature, tagger } = parseSignedTag(content);
  return verifySigned({ payload, signature, signer: tagger }, keys, now);
}

/** A commit or tag taken apart. */
interface SignedObject {
  readonly payload: Buffer;
  readonly signature: string | undefined;
  /** Who says to have made it, and when. */
  readonly signer: { readonly email: string; readonly time: number };
}

async function verifySigned(object: SignedObject, keys: TrustedKeys, now: Date): Promise<Signer> {
  const { signature } = object;
  if (signature === undefined) throw refused('commit-unsigned', 'it is unsigned');
  if (isSshSignature(signature)) return asRefusal(() => verifySsh(object, signature, keys, now));
  if (isGpgSignature(signature)) return verifyGpg(object, signature, keys, now);
  const [line = ''] = signature.split('\n');
  throw refused(
    'commit-signature-unsupported',
    `its signature begins with ${JSON.stringify(line.slice(0, 60))}, expected one of SSH or OpenPGP`,
  );
}

/**
 * The names that a good signature's key stands for, none of them a pattern: whoever signs writes their own
 * address, and a pattern would let them be anybody whom it matches.
 *
 * @param signedAt milliseconds since 1970, as the signed object says
 */
export function literalNames(
  { format, principal, fingerprint }: Signer,
  { signers }: TrustedKeys,
  signedAt: number,
  now: Date,
): string[] {
  if (format === 'openpgp') {
    const [, email] = /<([^<>]+)>$/.exec(principal) ?? [];
    return [principal, ...(email === undefined ? [] : [email]), fingerprint];
  }
  const lines = signers.filter(
    (line) => line.key.fingerprint === fingerprint && !refusalOf(line, signedAt, now),
  );
  const names = lines.flatMap(({ principals }) => principals.split(','));
  return [...names.filter((name) => !/[*?!]/.test(name)), fingerprint];
}

function verifySsh(
  { payload, signer }: SignedObject,
  armored: string,
  { signers, revoked }: TrustedKeys,
  now: Date,
): Signer {
  const signature = parseSshSignature(armored);
  const { key, namespace } = signature;
  if (!isSshSigned(signature, payload)) {
    throw refused(
      'commit-bad-signature',
      `its signature does not hold: it is not of these bytes by the key ${key.fingerprint}`,
    );
  }
  if (namespace !== 'git')
    throw wrongNamespace(`its signature is for ${JSON.stringify(namespace)}`);
  if (revoked.has(key.fingerprint)) throw revokedKey(key.fingerprint);
  const lines = signers.filter((signer) => signer.key.blob.equals(key.blob));
  if (lines.length === 0) {
    throw refused('commit-unknown-key', `the key ${key.fingerprint} is of no allowed signer`);
  }
  let failure: Error | undefined;
  for (const line of lines) {
    failure = refusalOf(line, signer.time, now);
    const principal = principalOf(line, signer.email);
    if (failure === undefined && principal !== undefined) {
      return { format: 'ssh', principal, fingerprint: key.fingerprint };
    }
  }
  throw failure ?? refused('commit-unknown-key', `the line of ${key.fingerprint} admits nobody`);
}

/** Why a line of the allowed signers does not cover a commit of its key. */
function refusalOf(
  { namespaces, validAfter = 0, validBefore = Number.POSITIVE_INFINITY, key }: AllowedSigner,
  committed: number,
  now: Date,
): Error | undefined {
  if (namespaces !== undefined && !matchesPatternList('git', namespaces)) {
    return wrongNamespace(`the key ${key.fingerprint} is for ${JSON.stringify(namespaces)}`);
  }
  for (const [time, what] of [
    [committed, "at the committer's date"],
    [now.getTime(), 'any more'],
  ] as const) {
    if (time >= validAfter && time <= validBefore) continue;
    const limit = time < validAfter ? ['after', validAfter] : ['before', validBefore];
    return refused(
      'commit-key-expired',
      `the key ${key.fingerprint} is not valid ${time < validAfter ? 'yet' : what} (valid-${limit[0]} ${new Date(Number(limit[1])).toISOString()})`,
    );
  }
  return undefined;
}

async function verifyGpg(
  { payload }: SignedObject,
  armored: string,
  { gpg, revoked }: TrustedKeys,
  now: Date,
): Promise<Signer> {
  const signer = await verifyGpgSignature(armored, payload, gpg, now);
  const { principal, fingerprint, signingFingerprint } = signer;
  for (const one of [fingerprint, signingFingerprint]) {
    if (revoked.has(one)) throw revokedKey(one.toUpperCase());
  }
  return { format: 'openpgp', principal, fingerprint: fingerprint.toUpperCase() };
}

/** What was wrong inside a signature, as a refusal of its commit. */
function asRefusal(verify: () => Signer): Signer {
  try {
    return verify();
  } catch (error) {
    if (!(error instanceof RinglockError) || error.code.startsWith('commit-')) throw error;
    const isUnsupported = error.code.startsWith('unsupported-');
    throw refused(
      isUnsupported ? 'commit-signature-unsupported' : 'commit-bad-signature',
      isUnsupported
        ? `its signature is not accepted: ${error.message}`
        : `its signature does not hold: ${error.message}`,
    );
  }
}

function wrongNamespace(what: string): Error {
  return refused('commit-wrong-namespace', `${what}, expected "git"`);
}

function revokedKey(fingerprint: string): Error {
  return refused('commit-key-revoked', `the key ${fingerprint} is in --revoked-keys`);
}
