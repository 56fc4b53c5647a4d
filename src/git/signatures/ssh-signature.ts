import { createHash } from 'node:crypto';
import { refused } from '../../errors.ts';
import { parseSshPublicKey, type SshPublicKey } from './ssh-key.ts';
import { malformedSshData, SshReader, sshString } from './ssh-wire.ts';

/** A signature as `ssh-keygen -Y sign` makes it (openssh, PROTOCOL.sshsig). */
export interface SshSignature {
  readonly key: SshPublicKey;
  /** What the signature is for: `git` for commits. */
  readonly namespace: string;
  readonly hash: 'sha256' | 'sha512';
  readonly signature: Buffer;
}

const magic = 'SSHSIG';
const armorStart = '-----BEGIN SSH SIGNATURE-----';

export function isSshSignature(text: string): boolean {
  return text.startsWith(armorStart);
}

/**
 * Parses an armored signature; nothing may stand before or behind it.
 *
 * @throws RinglockError `malformed-ssh-data`, `unsupported-key`, `unsupported-signature`
 */
export function parseSshSignature(text: string): SshSignature {
  const [, body] =
    /^-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\s]+)\n-----END SSH SIGNATURE-----\s*$/.exec(
      text,
    ) ?? [];
  if (body === undefined) throw malformedSshData('no armored signature');
  const reader = new SshReader(Buffer.from(body, 'base64'));
  if (reader.bytes(magic.length).toString('latin1') !== magic) {
    throw malformedSshData(`it does not begin with ${magic}`);
  }
  const version = reader.uint32();
  if (version !== 1) throw malformedSshData(`its version is ${version}, expected 1`);
  const key = parseSshPublicKey(reader.string());
  const namespace = reader.text();
  reader.string(); // Reserved; to be ignored.
  const hash = reader.text();
  if (hash !== 'sha256' && hash !== 'sha512') {
    throw refused(
      'unsupported-signature',
      `its hash is ${JSON.stringify(hash)}, expected sha256 or sha512`,
    );
  }
  const signature = reader.string();
  reader.end();
  return { key, namespace, hash, signature };
}

/**
 * Whether a signature is one of these bytes, by the key that it names.
 *
 * @throws RinglockError `unsupported-signature`, `malformed-ssh-data`
 */
export function isSshSigned(
  { key, namespace, hash, signature }: SshSignature,
  message: Buffer,
): boolean {
  const digest = createHash(hash).update(message).digest();
  const signed = Buffer.concat([
    Buffer.from(magic),
    ...[Buffer.from(namespace, 'latin1'), '', hash, digest].map(sshString),
  ]);
  return key.isSignedBy(signature, signed);
}
