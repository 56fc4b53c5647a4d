import type { PublicKey, SignaturePacket } from 'openpgp';
import { refused } from '../../errors.ts';

/** A good signature's key. */
export interface GpgSigner {
  /** The primary user id, `Name <email>`. */
  readonly principal: string;
  /** Of the primary key, lower-case hex. */
  readonly fingerprint: string;
  /** Of the key or subkey that signed. */
  readonly signingFingerprint: string;
}

export function isGpgSignature(text: string): boolean {
  return text.startsWith('-----BEGIN PGP SIGNATURE-----');
}

/**
 * Checks a detached, armored OpenPGP signature as gpg does, at the present time: a key that has expired
 * or was revoked since signs nothing that is new.
 *
 * @throws RinglockError `commit-bad-signature`, `commit-unknown-key`, `commit-key-revoked`,
 *   `commit-key-expired`, `commit-signature-unsupported`
 */
export async function verifyGpgSignature(
  armored: string,
  payload: Buffer,
  keys: readonly PublicKey[],
  now: Date,
): Promise<GpgSigner> {
  const { createMessage, readSignature, verify, enums } = await import('openpgp');
  const signature = await readSignature({ armoredSignature: armored }).catch(() => undefined);
  const [packet, second] = signature?.packets ?? [];
  if (signature === undefined || packet === undefined || second !== undefined) {
    throw bad('it does not hold exactly one OpenPGP signature');
  }
  requireSound(packet, enums);
  const { key, signing } = findKey(packet, keys);
  await refuseRevoked(key, signing, now);
  const message = await createMessage({ binary: payload });
  try {
    const { signatures } = await verify({ message, signature, verificationKeys: key, date: now });
    for (const { verified } of signatures) await verified;
    // What verify() looks at is whether the key was valid when the signature says that it was made.
    await key.getSigningKey(signing.getKeyID(), now);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (/expired/i.test(reason)) {
      const what = /signature is expired/i.test(reason) ? 'the signature' : nameOf(key);
      throw refused('commit-key-expired', `${what} has expired`);
    }
    throw bad(reason);
  }
  return {
    principal: await principalOf(key, now),
    fingerprint: key.getFingerprint(),
    signingFingerprint: signing.getFingerprint(),
  };
}

/** Of SHA-1 and MD5 two texts can have one digest. */
function requireSound(
  { signatureType, hashAlgorithm }: SignaturePacket,
  { signature, hash }: typeof import('openpgp').enums,
): void {
  if (signatureType !== signature.binary) {
    throw unsupported(`it is of type ${signatureType}, expected one over bytes (0)`);
  }
  const strong = [hash.sha256, hash.sha384, hash.sha512, hash.sha3_256, hash.sha3_512];
  if (hashAlgorithm === null || !strong.includes(hashAlgorithm)) {
    const name = Object.entries(hash).find(([, id]) => id === hashAlgorithm)?.[0] ?? hashAlgorithm;
    throw unsupported(`its hash is ${name}, expected SHA-256 or stronger`);
  }
}

type SigningKey = ReturnType<PublicKey['getKeys']>[number];

function findKey(
  { issuerKeyID }: SignaturePacket,
  keys: readonly PublicKey[],
): { key: PublicKey; signing: SigningKey } {
  for (const key of keys) {
    const [signing] = key.getKeys(issuerKeyID);
    if (signing !== undefined) return { key, signing };
  }
  throw refused(
    'commit-unknown-key',
    `the OpenPGP key ${issuerKeyID.toHex()} is not among --gpg-keys`,
  );
}

async function refuseRevoked(key: PublicKey, signing: SigningKey, now: Date): Promise<void> {
  const isRevoked = await key.isRevoked(undefined, undefined, now);
  if (isRevoked) throw refused('commit-key-revoked', `${nameOf(key)} is revoked`);
  if (!('mainKey' in signing)) return;
  try {
    await signing.verify(now);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!/revoked/i.test(reason)) return;
    throw refused(
      'commit-key-revoked',
      `the subkey ${signing.getFingerprint().toUpperCase()} of ${nameOf(key)} is revoked`,
    );
  }
}

async function principalOf(key: PublicKey, now: Date): Promise<string> {
  const primary = await key.getPrimaryUser(now).catch(() => undefined);
  return primary?.user.userID?.userID ?? key.getFingerprint();
}

function nameOf(key: PublicKey): string {
  return `the OpenPGP key ${key.getFingerprint().toUpperCase()}`;
}

function bad(reason: string): Error {
  return refused('commit-bad-signature', `its signature does not hold: ${reason}`);
}

function unsupported(reason: string): Error {
  return refused('commit-signature-unsupported', `its signature is not accepted: ${reason}`);
}
