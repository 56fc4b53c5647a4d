import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GitRepository } from './git-command.ts';
import type { ReleasedBytes, ReleaseWalk } from './released-walk.ts';

/** Raise it with every change to what is released, or to what is kept here. */
const cacheVersion = 1;

interface CacheFile {
  readonly version: number;
  readonly refs: Readonly<
    Record<
      string,
      {
        readonly tip: string;
        readonly locks: Readonly<Record<string, string>>;
        readonly versions: Readonly<Record<string, Readonly<Record<string, ReleasedBytes>>>>;
      }
    >
  >;
}

/** Finished walks by ref; none when the file is not there, damaged, or of another version. */
export async function readReleasedCache(
  repository: GitRepository,
): Promise<ReadonlyMap<string, ReleaseWalk>> {
  try {
    const file = JSON.parse(await readFile(releasedCacheFile(repository), 'utf8')) as CacheFile;
    if (file.version !== cacheVersion) return new Map();
    return new Map(
      Object.entries(file.refs).map(([ref, { tip, locks, versions }]) => [
        ref,
        {
          tip,
          locks: new Map(Object.entries(locks)),
          versions: new Map(
            Object.entries(versions).map(([alias, known]) => [
              alias,
              new Map(Object.entries(known)),
            ]),
          ),
        },
      ]),
    );
  } catch {
    return new Map();
  }
}

/** Replaced by rename; a cache that cannot be written costs time, nothing else. */
export async function writeReleasedCache(
  repository: GitRepository,
  walks: ReadonlyMap<string, ReleaseWalk>,
): Promise<void> {
  const file: CacheFile = {
    version: cacheVersion,
    refs: Object.fromEntries(
      [...walks].map(([ref, { tip, locks, versions }]) => [
        ref,
        {
          tip,
          locks: Object.fromEntries(locks),
          versions: Object.fromEntries(
            [...versions].map(([alias, known]) => [alias, Object.fromEntries(known)]),
          ),
        },
      ]),
    ),
  };
  const target = releasedCacheFile(repository);
  const beside = `${target}.${randomUUID()}`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFile(beside, JSON.stringify(file));
    await rename(beside, target);
  } catch {
    // A read-only git directory: the next run walks again.
  }
}

function releasedCacheFile({ commonDir }: GitRepository): string {
  return join(commonDir, 'ringlock', 'released.json');
}
