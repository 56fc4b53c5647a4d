import { createHash } from 'node:crypto';
import type { ServerHostKeyAlgorithm } from 'ssh2';
import { type RinglockError, refused } from '../../errors.ts';
import { isNamed, type KnownHost, keyTypeOf, knownName } from './known-hosts.ts';
import type { SshAddress } from './ssh-address.ts';

/** What is known of one server, and from which file. */
export interface KnownKeys {
  readonly address: SshAddress;
  readonly file: string;
  /** The lines that name the server. */
  readonly lines: readonly KnownHost[];
}

export function knownKeys(
  address: SshAddress,
  hosts: readonly KnownHost[],
  file: string,
): KnownKeys {
  const name = knownName(address.host, address.port);
  return { address, file, lines: hosts.filter((host) => isNamed(host, name)) };
}

/** How each type of key may sign; SHA-1 is not among them. */
const algorithms = new Map<string, readonly ServerHostKeyAlgorithm[]>([
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']],
]);

/**
 * What to offer the server: first what is known, since it shows the key that is asked for; the others
 * too, so that a changed key can be named.
 */
export function offeredAlgorithms({ lines }: KnownKeys): ServerHostKeyAlgorithm[] {
  const known = new Set(lines.filter(isPlain).map(({ keyType }) => keyType));
  const types = [...algorithms.keys()];
  const ordered = [...types.filter((type) => known.has(type)), ...types];
  return [...new Set(ordered.flatMap((type) => algorithms.get(type) ?? []))];
}

/**
 * @param key the public key that the server shows
 * @returns undefined when it is known; else `host-key-unknown`, `host-key-changed`, `host-key-revoked`
 */
export function judgeHostKey(key: Buffer, known: KnownKeys): RinglockError | undefined {
  const { lines, file, address } = known;
  const shown = `${keyTypeOf(key) ?? 'unreadable key'} ${fingerprint(key)}`;
  const revoked = lines.find((line) => line.marker === 'revoked' && line.key.equals(key));
  if (revoked !== undefined) {
    return refused(
      'host-key-revoked',
      `${address.display} shows the host key ${shown}, which line ${revoked.line} of ${file} revokes`,
      { hint: 'Somebody may hold the stolen key: ask whoever runs the server.' },
    );
  }
  const plain = lines.filter(isPlain);
  if (plain.some((line) => line.key.equals(key))) return undefined;
  if (plain.length === 0) return unknown(shown, known);
  const expected = plain.slice(0, 5).map((line) => {
    return `${line.keyType} ${fingerprint(line.key)} (line ${line.line} of ${file})`;
  });
  return refused(
    'host-key-changed',
    `${address.display} shows the host key ${shown}, expected ${expected.join(' or ')}`,
    {
      hint: 'Somebody may stand between here and the server. If whoever runs it says that the key was changed, and to this fingerprint, replace the line.',
    },
  );
}

function unknown(shown: string, { address, file, lines }: KnownKeys): RinglockError {
  const name = knownName(address.host, address.port);
  const authority = lines.find(({ marker }) => marker === 'cert-authority');
  const port = address.port === 22 ? '' : `-p ${address.port} `;
  return refused(
    'host-key-unknown',
    `${address.display} shows the host key ${shown}, and ${
      authority === undefined
        ? `no line of ${file} names ${name}`
        : `for ${name} there is only a certificate authority (line ${authority.line} of ${file}), which is not supported`
    }`,
    {
      hint: `If whoever runs the server confirms the fingerprint, add the line that ssh-keyscan ${port}${address.host} prints for that key.`,
    },
  );
}

function isPlain({ marker }: KnownHost): boolean {
  return marker === undefined;
}

/** As ssh-keygen prints it: `SHA256:…`. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}
