import { type FileHandle, open } from 'node:fs/promises';
import { badInput } from '../../errors.ts';

interface MountedFileOptions {
  /** Whether others should not even read it. */
  readonly secret: boolean;
  readonly warn: (message: string) => void;
}

/**
 * A file that is mounted for this process. Its mode is what the mount gives: a Kubernetes secret is
 * 0644 as long as nobody says `defaultMode`, and 0440 with it and an `fsGroup`. So the group is no
 * concern, and others are one that is warned about: to refuse would only have people copy the key.
 *
 * @throws RinglockError `ssh-file-unreadable`
 */
export async function readMountedFile(
  path: string,
  { secret, warn }: MountedFileOptions,
): Promise<string> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const { mode } = await file.stat();
    const octal = (mode & 0o7777).toString(8).padStart(4, '0');
    if ((mode & 0o002) !== 0) {
      warn(`${path} can be changed by anybody here (mode ${octal}): mount it read-only`);
    } else if (secret && (mode & 0o004) !== 0) {
      warn(`${path} can be read by anybody here (mode ${octal}): mount it with defaultMode: 0400`);
    }
    return await file.readFile('utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw badInput('ssh-file-unreadable', `${path} cannot be read: ${reason}`, {
      hint: 'Mount it there, readable for the user that ringlock runs as.',
    });
  } finally {
    await file?.close();
  }
}
