import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { distributedFiles, moduleManifestFile } from '../digest/module-files.ts';
import { badInput } from '../errors.ts';
import { type Lock, type LockEntry, parseLock } from '../repo/lock.ts';
import { parseModuleManifest } from '../repo/module-manifest.ts';
import { defaultSettings } from '../repo/settings.ts';
import type { ModuleSource, SourceFile } from '../source/module-source.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import type { Generation } from './generation.ts';
import { listTree } from './module-tree.ts';
import type { Root } from './root.ts';

/** A directory with a lock and its modules, baked into an image: a start without git. */
export interface Seed {
  readonly lock: Lock;
  /** From `seed.json`; null where it says nothing. */
  readonly commit: string | null;
  readonly repository: string | null;
  readonly branch: string | null;
  /** The modules as they lie there; whoever takes them verifies the digest. */
  readonly source: ModuleSource;
}

/** `seed.json`, optional: where the lock beside it is from. */
interface SeedFile {
  readonly commit?: string;
  readonly repository?: string;
  readonly branch?: string;
}

/**
 * Reads `<directory>/lock.json` and `seed.json`; modules stand as in the repository:
 * `modules/Orders`, `themes/Dark`.
 *
 * @throws RinglockError `seed-missing`, `invalid-json`, `invalid-file`, `newer-lock-version`
 */
export async function readSeed(directory: string, ring: string): Promise<Seed> {
  const lockPath = join(directory, 'lock.json');
  const text = await readOptional(lockPath);
  if (text === undefined) {
    throw badInput('seed-missing', `${lockPath} is not there, expected the lock of ring ${ring}`, {
      hint: 'A seed is a directory with lock.json and modules/; leave --seed out to start without.',
    });
  }
  const facts = await readFacts(join(directory, 'seed.json'));
  return {
    lock: parseLock(text, ring, lockPath),
    commit: facts.commit ?? null,
    repository: facts.repository ?? null,
    branch: facts.branch ?? null,
    source: {
      name: 'seed',
      read: async ({ alias, entry }) => {
        const path = join(directory, modulePath(alias, entry));
        const isThere = await lstat(path).then(
          (found) => found.isDirectory(),
          () => false,
        );
        return isThere ? readModule(path) : undefined;
      },
    },
  };
}

/**
 * Stages a seed and builds generation 0 of it, to be switched to by the caller. Call it for a root
 * that shows nothing yet.
 *
 * @throws RinglockError `seed-incomplete`, `digest-mismatch`, `refused-path`, `disk-full` and its like
 */
export async function buildSeedGeneration(
  root: Root,
  seed: Seed,
  operationId: string,
): Promise<Generation> {
  for (const [alias, entry] of seed.lock.modules) {
    const pin = { alias, version: entry.version, sha256: entry.sha256 };
    if (await root.hasVersion(pin)) continue;
    const files = await seed.source.read({ alias, entry });
    if (files === undefined) {
      throw badInput(
        'seed-incomplete',
        `the seed has no ${modulePath(alias, entry)}, which its lock pins as ${alias} ${entry.version}`,
        { hint: 'Bake the lock and the modules of one commit.' },
      );
    }
    await root.stage(pin, files, 'seed');
  }
  const { commit, repository, branch } = seed;
  const number = (await root.generations()).length === 0 ? 0 : undefined;
  return root.buildGeneration(seed.lock, { commit, repository, branch, operationId }, number);
}

function modulePath(alias: string, { directory }: LockEntry): string {
  const path = directory ?? alias;
  return path.includes('/') ? path : `modules/${path}`;
}

async function* readModule(path: string): AsyncGenerator<SourceFile> {
  const manifestPath = join(path, moduleManifestFile);
  const manifest = parseModuleManifest(await readFile(manifestPath, 'utf8'), manifestPath);
  const { files, others } = await listTree(path);
  const listed = [
    ...files.map((file) => ({ path: file, mode: '100644' })),
    ...others.map((other) => ({ path: other, mode: '120000' })),
  ];
  for (const file of distributedFiles(manifest, listed, path, defaultSettings.maxFiles)) {
    const absolute = join(path, file.path);
    const executable = ((await lstat(absolute)).mode & 0o111) !== 0;
    yield { path: file.path, executable, content: await readFile(absolute) };
  }
}

async function readFacts(path: string): Promise<SeedFile> {
  const text = await readOptional(path);
  if (text === undefined) return {};
  try {
    return JSON.parse(text) as SeedFile;
  } catch {
    throw badInput(
      'invalid-json',
      `${path} is not JSON, expected {"commit", "repository", "branch"}`,
    );
  }
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw diskFailed(error, path);
  }
}
