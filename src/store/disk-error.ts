import { environmentFailed, RinglockError } from '../errors.ts';

/**
 * Turns what the file system threw into an error an operator can act on; a RinglockError and anything
 * that is no file-system error stay themselves.
 *
 * @param path the file or directory at hand
 */
export function diskFailed(error: unknown, path: string): unknown {
  if (error instanceof RinglockError || !isSystemError(error)) return error;
  const known = knownErrors[error.code];
  return environmentFailed(
    known?.code ?? 'disk-failed',
    `${error.path ?? path} cannot be ${known?.verb ?? 'used'}: ${error.message}`,
    {
      hint: known?.hint ?? 'Check the file system that holds it (mount, permissions, dmesg).',
      cause: error,
      details: { path, errno: error.code },
    },
  );
}

const knownErrors: Readonly<Record<string, { code: string; verb: string; hint: string }>> = {
  ENOSPC: { code: 'disk-full', verb: 'written', hint: 'Free space or enlarge the volume.' },
  EDQUOT: { code: 'disk-full', verb: 'written', hint: 'Free space or raise the quota.' },
  EROFS: {
    code: 'disk-read-only',
    verb: 'written',
    hint: 'Mount the volume writable for this process.',
  },
  EACCES: {
    code: 'disk-denied',
    verb: 'used',
    hint: 'Give this process’s user the directory (in Kubernetes: fsGroup or runAsUser).',
  },
  EPERM: {
    code: 'disk-denied',
    verb: 'used',
    hint: 'Give this process’s user the directory (in Kubernetes: fsGroup or runAsUser).',
  },
  EIO: {
    code: 'disk-failed',
    verb: 'used',
    hint: 'The disk itself fails: look at dmesg and replace the volume. Once it is good again, ringlock reconcile --repair rebuilds what it damaged.',
  },
  EISDIR: foreignKind(),
  ENOTDIR: foreignKind(),
};

/** A directory stands where a file belongs, or the other way round. */
function foreignKind() {
  return {
    code: 'disk-failed',
    verb: 'used',
    hint: 'Something else stands in its place: ringlock reconcile --repair moves it aside.',
  };
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return (
    error instanceof Error &&
    'syscall' in error &&
    typeof (error as NodeJS.ErrnoException).code === 'string'
  );
}

/** Whether a file is there and its bytes cannot be had: a bad sector, or another user's modes. */
export function isUnreadable(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
  return ['EIO', 'EACCES', 'EPERM', 'EISDIR'].includes(code);
}

/** Whether the file system said that there is no such file or directory. */
export function isAbsent(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
