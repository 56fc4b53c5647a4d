import { badInput, RinglockError } from '../../errors.ts';
import { isKeyType, parseSshKeyText } from './allowed-signers.ts';

/**
 * Parses a list of keys that nothing may be signed with any more: on each line an SSH public key, an SSH
 * fingerprint (`SHA256:…`) or the fingerprint of an OpenPGP key or subkey (40 or 64 hex digits).
 *
 * @param path for messages
 * @returns fingerprints: `SHA256:<base64>`, or lower-case hex
 * @throws RinglockError `invalid-revoked-keys` naming the line
 */
export function parseRevokedKeys(content: Uint8Array, path: string): ReadonlySet<string> {
  const text = Buffer.from(content).toString('utf8');
  if (text.startsWith('SSHKRL\n')) {
    throw badInput('invalid-revoked-keys', `${path} is a binary key revocation list`, {
      hint: 'Give a text file with one public key or fingerprint a line, as ssh-keygen -lf shows it.',
    });
  }
  const revoked = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/);
    const [first = '', encoded = ''] = words;
    if (first === '' || first.startsWith('#')) continue;
    try {
      revoked.add(fingerprintOf(first, encoded, words.slice(1).join('')));
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      throw badInput('invalid-revoked-keys', `${path} line ${index + 1}: ${error.message}`);
    }
  }
  return revoked;
}

function fingerprintOf(first: string, encoded: string, rest: string): string {
  if (/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(first)) return first.replace(/=$/, '');
  // gpg shows a fingerprint in groups.
  const hex = `${first}${/^[0-9A-Fa-f]*$/.test(rest) ? rest : ''}`.toLowerCase();
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hex)) return hex;
  if (isKeyType(first)) return parseSshKeyText(first, encoded).fingerprint;
  throw badInput(
    'invalid-key-line',
    `${JSON.stringify(first.slice(0, 60))} is no key, expected a public key, SHA256:… or an OpenPGP fingerprint`,
  );
}
