import { createHmac } from 'node:crypto';
import { badInput } from '../../errors.ts';

/** One line of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
export interface KnownHost {
  /** From 1. */
  readonly line: number;
  readonly marker: 'cert-authority' | 'revoked' | undefined;
  /** Comma list of patterns, or one hashed name. */
  readonly names: string;
  /** `ssh-ed25519`, …: also types that are not spoken here. */
  readonly keyType: string;
  /** The public key as it is sent: its type, then its numbers. */
  readonly key: Buffer;
}

/**
 * @param file for messages
 * @throws RinglockError `known-hosts-invalid` for a line that is none: to skip it could hide a revocation
 */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  const hosts: KnownHost[] = [];
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.trim();
    if (line === '' || line.startsWith('#')) continue;
    hosts.push(parseLine(line, index + 1, file));
  }
  return hosts;
}

function parseLine(text: string, line: number, file: string): KnownHost {
  const fields = text.split(/\s+/);
  const word = fields[0]?.startsWith('@') === true ? fields.shift() : undefined;
  if (word !== undefined && word !== '@revoked' && word !== '@cert-authority') {
    throw invalid(file, line, `has the marker ${word}, expected @revoked or @cert-authority`);
  }
  const [names, keyType, encoded] = fields;
  if (names === undefined || keyType === undefined || encoded === undefined) {
    throw invalid(file, line, 'is too short, expected host names, the type of a key and the key');
  }
  if (names.startsWith('|') && hashParts(names) === undefined) {
    throw invalid(file, line, 'has a hashed name of an unknown kind, expected |1|salt|hash');
  }
  const key = Buffer.from(encoded, 'base64');
  if (keyTypeOf(key) !== keyType) throw invalid(file, line, `has a key that is no ${keyType} key`);
  const marker = word?.slice(1) as KnownHost['marker'];
  return { line, marker, names, keyType, key };
}

function invalid(file: string, line: number, what: string): Error {
  return badInput('known-hosts-invalid', `line ${line} of ${file} ${what}`, {
    hint: 'Take the lines that ssh-keyscan prints, once their fingerprints are compared.',
  });
}

/** The type that a public key names itself; undefined when it is no key. */
export function keyTypeOf(key: Buffer): string | undefined {
  if (key.length < 4) return undefined;
  const length = key.readUInt32BE(0);
  return length <= key.length - 4 ? key.toString('latin1', 4, 4 + length) : undefined;
}

/** How a server is called in known_hosts: with its port only where that is another than 22. */
export function knownName(host: string, port: number): string {
  return port === 22 ? host : `[${host}]:${port}`;
}

/** @param name of knownName() */
export function isNamed({ names }: Pick<KnownHost, 'names'>, name: string): boolean {
  const hashed = hashParts(names);
  if (hashed !== undefined) {
    return createHmac('sha1', hashed.salt).update(name).digest().equals(hashed.hash);
  }
  const matching = names
    .toLowerCase()
    .split(',')
    .filter((pattern) => matches(pattern.replace(/^!/, ''), name));
  // One negated pattern that matches outdoes all others.
  return matching.length > 0 && !matching.some((pattern) => pattern.startsWith('!'));
}

function hashParts(names: string): { salt: Buffer; hash: Buffer } | undefined {
  const [, salt, hash] = /^\|1\|([^|]+)\|([^|]+)$/.exec(names) ?? [];
  if (salt === undefined || hash === undefined) return undefined;
  return { salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
}

/** `*` is any text and `?` one character; nothing else is special, not even the brackets of `[host]:port`. */
function matches(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(name);
}
