import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GitRepository } from './git-command.ts';
import type { ModuleDigest } from './module-digest.ts';

/** Raise it with every change to what is digested, how, or what is kept here. */
const cacheVersion = 2;

/** Digests of former trees are kept for switching branches; beyond this the oldest go. */
const leastKept = 1024;

/** Module digests by tree id; a local file that may be deleted at any time. */
export interface DigestCache {
  get(tree: string): ModuleDigest | undefined;
  set(tree: string, digest: ModuleDigest): void;
  /** Writes what is new. A cache that cannot be written costs time, nothing else. */
  save(): Promise<void>;
}

/** The cache of a repository, empty when there is none, or one that is damaged or of another version. */
export async function openDigestCache(repository: GitRepository): Promise<DigestCache> {
  const file = digestCacheFile(repository);
  const known = await readCache(file);
  const used = new Map<string, ModuleDigest>();
  let changed = false;
  return {
    get: (tree) => {
      const digest = known.get(tree);
      if (digest !== undefined) used.set(tree, digest);
      return digest;
    },
    set: (tree, digest) => {
      used.set(tree, digest);
      changed = true;
    },
    save: async () => {
      if (!changed) return;
      const former = [...known].filter(([tree]) => !used.has(tree));
      const room = Math.max(0, leastKept - used.size);
      const modules = Object.fromEntries([...used, ...former.slice(0, room)]);
      await writeCache(file, JSON.stringify({ version: cacheVersion, modules }));
    },
  };
}

export function digestCacheFile({ commonDir }: GitRepository): string {
  return join(commonDir, 'ringlock', 'module-digests.json');
}

async function readCache(file: string): Promise<ReadonlyMap<string, ModuleDigest>> {
  try {
    const cache: unknown = JSON.parse(await readFile(file, 'utf8'));
    return isCache(cache) ? new Map(Object.entries(cache.modules)) : new Map();
  } catch {
    return new Map();
  }
}

function isCache(value: unknown): value is { modules: Record<string, ModuleDigest> } {
  if (typeof value !== 'object' || value === null) return false;
  const { version, modules } = value as { version?: unknown; modules?: unknown };
  if (version !== cacheVersion || typeof modules !== 'object' || modules === null) return false;
  return Object.values(modules).every(isDigest);
}

function isDigest(value: unknown): boolean {
  const { manifest, sha256, fileCount, sizeBytes } = (value ?? {}) as Partial<ModuleDigest>;
  return (
    typeof manifest === 'string' &&
    typeof sha256 === 'string' &&
    /^sha256:[0-9a-f]{64}$/.test(sha256) &&
    Number.isSafeInteger(fileCount) &&
    Number.isSafeInteger(sizeBytes)
  );
}

/** Replaced by rename, so that a reader sees one whole file; a crash may lose it, so no fsync. */
async function writeCache(file: string, text: string): Promise<void> {
  const beside = `${file}.${randomUUID()}`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(beside, text);
    await rename(beside, file);
  } catch {
    // A read-only git directory: the next run digests again.
  }
}
