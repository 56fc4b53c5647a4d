import type { ParsedKey } from 'ssh2';
import { badInput } from '../../errors.ts';
import { registerSecret } from '../../redaction.ts';
import { fingerprint } from './host-key.ts';
import { readMountedFile } from './mounted-file.ts';

export interface PrivateKey {
  readonly key: ParsedKey;
  /** Of its public part, as ssh-keygen prints it. */
  readonly fingerprint: string;
  readonly file: string;
}

interface PrivateKeyOptions {
  readonly file: string;
  readonly passphrase: () => Promise<string | undefined>;
  readonly warn: (message: string) => void;
}

/**
 * Reads a key at every call, so that one that is replaced is taken; what was read last is opened only
 * once, since a passphrase makes that slow on purpose.
 *
 * @throws RinglockError (from the reader) `ssh-file-unreadable`, `ssh-key-invalid`,
 * `ssh-passphrase-missing`, `ssh-passphrase-wrong`
 */
export function privateKeyReader(options: PrivateKeyOptions): () => Promise<PrivateKey> {
  let last: { content: string; passphrase: string | undefined; opened: PrivateKey } | undefined;
  return async () => {
    const content = await readMountedFile(options.file, { secret: true, warn: options.warn });
    registerSecret(content);
    const passphrase = await options.passphrase();
    if (last?.content !== content || last.passphrase !== passphrase) {
      last = { content, passphrase, opened: await openKey(options.file, content, passphrase) };
    }
    return last.opened;
  };
}

async function openKey(
  file: string,
  content: string,
  passphrase: string | undefined,
): Promise<PrivateKey> {
  const { default: ssh2 } = await import('ssh2');
  const parsed = ssh2.utils.parseKey(content, passphrase);
  if (parsed instanceof Error) throw refusedKey(file, parsed.message);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key?.isPrivateKey() !== true) {
    throw badInput('ssh-key-invalid', `${file} is a public key, expected the private one`);
  }
  return { key, fingerprint: fingerprint(key.getPublicSSH()), file };
}

function refusedKey(file: string, reason: string): Error {
  if (/no passphrase given/i.test(reason)) {
    return badInput('ssh-passphrase-missing', `${file} is encrypted, and no passphrase was given`, {
      hint: 'Set RINGLOCK_SSH_PASSPHRASE or RINGLOCK_SSH_PASSPHRASE_FILE.',
    });
  }
  if (/bad passphrase/i.test(reason)) {
    return badInput('ssh-passphrase-wrong', `${file} does not open with the passphrase given`, {
      hint: 'RINGLOCK_SSH_PASSPHRASE or RINGLOCK_SSH_PASSPHRASE_FILE has to be the one of this key.',
    });
  }
  return badInput('ssh-key-invalid', `${file} is no private key that can be read: ${reason}`, {
    hint: 'Make one with ssh-keygen -t ed25519; ssh-keygen -p -f FILE writes another format anew.',
  });
}
