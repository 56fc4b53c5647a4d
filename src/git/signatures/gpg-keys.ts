import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PublicKey } from 'openpgp';
import { badInput, environmentFailed } from '../../errors.ts';

/**
 * The public keys of a file, or of every file of a directory (hidden ones left out, as a mounted secret has
 * them), each armored or binary as `gpg --export` writes them, with whatever revokes them.
 *
 * @throws RinglockError `signers-unreadable`, `invalid-gpg-keys` naming the file
 */
export async function readGpgKeys(path: string): Promise<readonly PublicKey[]> {
  const keys: PublicKey[] = [];
  for (const file of await filesAt(path)) {
    keys.push(...(await parseGpgKeys(await readTrusted(file), file)));
  }
  return keys;
}

/** @throws RinglockError `signers-unreadable` */
export async function readTrusted(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function filesAt(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = (await readdir(path)).filter((name) => !name.startsWith('.')).sort();
    const files: string[] = [];
    for (const name of names) {
      if ((await stat(join(path, name))).isFile()) files.push(join(path, name));
    }
    return files;
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function parseGpgKeys(content: Buffer, path: string): Promise<PublicKey[]> {
  const { readKeys } = await import('openpgp');
  const text = content.toString('latin1');
  const isArmored = text.includes('-----BEGIN PGP PUBLIC KEY BLOCK-----');
  try {
    const keys = await (isArmored
      ? readKeys({ armoredKeys: text })
      : readKeys({ binaryKeys: content }));
    if (keys.length > 0 && !keys.some((key) => key.isPrivate())) return keys as PublicKey[];
  } catch {
    // Said below, the same as for a file without keys.
  }
  throw badInput('invalid-gpg-keys', `${path} is no file of OpenPGP public keys`, {
    hint: 'Write it with: gpg --export --armor FINGERPRINT',
  });
}

function unreadable(path: string, error: unknown): Error {
  const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  return environmentFailed('signers-unreadable', `${path} cannot be read: ${reason}`, {
    hint: 'Nothing new is deployed until the keys can be read; what serves goes on.',
  });
}
