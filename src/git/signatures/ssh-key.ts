import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { refused } from '../../errors.ts';
import { fixedWidth, malformedSshData, SshReader } from './ssh-wire.ts';

/** A public key as SSH writes it, with what it takes to check a signature of it. */
export interface SshPublicKey {
  /** `ssh-ed25519`, `ecdsa-sha2-nistp256`, … */
  readonly type: string;
  readonly blob: Buffer;
  /** `SHA256:<base64>`, as ssh-keygen shows it. */
  readonly fingerprint: string;
  /**
   * Whether a signature blob (RFC 4253, section 6.6) is one of these bytes by this key.
   *
   * @throws RinglockError `unsupported-signature`, `malformed-ssh-data`
   */
  isSignedBy(signature: Uint8Array, bytes: Buffer): boolean;
}

/** RSA keys below this are within reach of factoring. */
const leastRsaBits = 2048;

const curves = {
  nistp256: { jwk: 'P-256', hash: 'sha256', width: 32 },
  nistp384: { jwk: 'P-384', hash: 'sha384', width: 48 },
  nistp521: { jwk: 'P-521', hash: 'sha512', width: 66 },
} as const;

/** RFC 8332; `ssh-rsa` itself is SHA-1 and refused. */
const rsaHashes: ReadonlyMap<string, string> = new Map([
  ['rsa-sha2-256', 'sha256'],
  ['rsa-sha2-512', 'sha512'],
]);

/**
 * Parses the public key blob of an `ssh-ed25519`, `ecdsa-sha2-nistp…`, `ssh-rsa` or FIDO (`sk-…`) key.
 *
 * @throws RinglockError `unsupported-key` naming the type, `malformed-ssh-data`
 */
export function parseSshPublicKey(blob: Uint8Array): SshPublicKey {
  const reader = new SshReader(blob);
  const type = reader.text();
  const verifies = readers.get(type)?.(reader, type);
  if (verifies === undefined) throw unsupportedKey(type);
  reader.end();
  const bytes = Buffer.from(blob);
  return {
    type,
    blob: bytes,
    fingerprint: fingerprintOf(bytes),
    isSignedBy: (signature, signed) => {
      const fields = new SshReader(signature);
      const isSigned = verifies(fields.text(), fields, signed);
      fields.end();
      return isSigned;
    },
  };
}

function fingerprintOf(blob: Buffer): string {
  const digest = createHash('sha256').update(blob).digest('base64');
  return `SHA256:${digest.replace(/=+$/, '')}`;
}

/** Checks a signature whose algorithm was read, from its next field on. */
type Verifies = (algorithm: string, fields: SshReader, signed: Buffer) => boolean;

/** Reads a key's fields behind its type. */
type ReadsKey = (reader: SshReader, type: string) => Verifies;

const readers: ReadonlyMap<string, ReadsKey> = new Map([
  ['ssh-ed25519', readEd25519],
  ['ssh-rsa', readRsa],
  ['ecdsa-sha2-nistp256', ecdsaReader('nistp256')],
  ['ecdsa-sha2-nistp384', ecdsaReader('nistp384')],
  ['ecdsa-sha2-nistp521', ecdsaReader('nistp521')],
  ['sk-ssh-ed25519@openssh.com', readFidoEd25519],
  ['sk-ecdsa-sha2-nistp256@openssh.com', readFidoEcdsa],
]);

function readEd25519(reader: SshReader, type: string): Verifies {
  const key = ed25519Key(reader);
  return (algorithm, fields, signed) => {
    requireAlgorithm(algorithm, type);
    return verify(null, signed, key, fields.string());
  };
}

function readRsa(reader: SshReader): Verifies {
  const key = rsaKey(reader);
  const width = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  return (algorithm, fields, signed) => {
    const hash = rsaHashes.get(algorithm);
    if (hash === undefined) throw unsupportedSignature(algorithm, [...rsaHashes.keys()]);
    return verify(hash, signed, key, fixedWidth(fields.string(), width));
  };
}

function ecdsaReader(curve: keyof typeof curves): ReadsKey {
  return (reader, type) => {
    const key = ecdsaKey(reader, curve);
    return (algorithm, fields, signed) => {
      requireAlgorithm(algorithm, type);
      const signature = ecdsaSignature(fields.string(), curve);
      return verify(curves[curve].hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature);
    };
  };
}

function readFidoEd25519(reader: SshReader, type: string): Verifies {
  const key = ed25519Key(reader);
  const application = reader.string();
  return (algorithm, fields, signed) => {
    requireAlgorithm(algorithm, type);
    const signature = fields.string();
    return verify(null, fidoMessage(application, fields, signed), key, signature);
  };
}

function readFidoEcdsa(reader: SshReader, type: string): Verifies {
  const key = ecdsaKey(reader, 'nistp256');
  const application = reader.string();
  return (algorithm, fields, signed) => {
    requireAlgorithm(algorithm, type);
    const signature = ecdsaSignature(fields.string(), 'nistp256');
    const message = fidoMessage(application, fields, signed);
    return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
  };
}

function ed25519Key(reader: SshReader): KeyObject {
  const x = reader.string();
  if (x.length !== 32) throw malformedSshData(`an Ed25519 key has ${x.length} bytes, expected 32`);
  return importKey({ kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') });
}

function rsaKey(reader: SshReader): KeyObject {
  const e = reader.positive().toString('base64url');
  const n = reader.positive();
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24;
  if (bits < leastRsaBits) throw unsupportedKey(`ssh-rsa of ${bits} bits`);
  return importKey({ kty: 'RSA', e, n: n.toString('base64url') });
}

function ecdsaKey(reader: SshReader, curve: keyof typeof curves): KeyObject {
  const { jwk, width } = curves[curve];
  const named = reader.text();
  const point = reader.string();
  if (named !== curve || point.length !== 1 + 2 * width || point[0] !== 4) {
    throw malformedSshData(`no uncompressed point of ${curve}`);
  }
  const x = point.toString('base64url', 1, 1 + width);
  const y = point.toString('base64url', 1 + width);
  return importKey({ kty: 'EC', crv: jwk, x, y });
}

function ecdsaSignature(bytes: Buffer, curve: keyof typeof curves): Buffer {
  const { width } = curves[curve];
  const numbers = new SshReader(bytes);
  const both = [numbers.positive(), numbers.positive()].map((n) => fixedWidth(n, width));
  numbers.end();
  return Buffer.concat(both);
}

/** What a FIDO key signs (openssh, PROTOCOL.u2f): it has to have been touched. */
function fidoMessage(application: Buffer, fields: SshReader, signed: Buffer): Buffer {
  const flags = fields.bytes(1);
  const counter = fields.bytes(4);
  if (((flags[0] ?? 0) & 1) === 0) {
    throw refused('unsupported-signature', 'the security key was not touched for it');
  }
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
  return Buffer.concat([digest(application), flags, counter, digest(signed)]);
}

function importKey(key: Record<string, string>): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch (error) {
    throw malformedSshData(`no public key: ${error instanceof Error ? error.message : error}`);
  }
}

function requireAlgorithm(found: string, expected: string): void {
  if (found !== expected) throw unsupportedSignature(found, [expected]);
}

function unsupportedSignature(algorithm: string, expected: readonly string[]): Error {
  return refused(
    'unsupported-signature',
    `the signature's algorithm is ${JSON.stringify(algorithm)}, expected ${expected.join(' or ')}`,
  );
}

function unsupportedKey(type: string): Error {
  const what = type.includes('-cert-v') ? `the certificate type ${type}` : JSON.stringify(type);
  return refused(
    'unsupported-key',
    `${what} is not accepted, expected ssh-ed25519, ecdsa-sha2-nistp256, -384 or -521, ssh-rsa of ${leastRsaBits} bits or more, or their sk- forms`,
  );
}
