import { RinglockError, refused } from '../errors.ts';
import type { Lock, LockEntry } from '../repo/lock.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import type { GitRepository } from './git-command.ts';
import { digestModule } from './module-digest.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from './object-batch.ts';
import type { PackageSource } from './package-source.ts';

/** What git has of a lock's entry: the manifest of its pinned tree, or why it cannot be trusted. */
export type PinnedModule =
  | { readonly manifest: ModuleManifest; readonly problem?: undefined }
  | { readonly manifest: ModuleManifest | undefined; readonly problem: RinglockError };

/**
 * Reads the pinned tree of every module of a lock, or its package where the entry names no tree, and checks
 * version and digest against it.
 *
 * @param maxFiles the most files that one module may have
 * @param packages where packages are had from
 * @returns by alias; problems are `tree-missing`, `tree-mismatch`, or what the parsers and `packages` throw
 */
export function readPinnedModules(
  repository: GitRepository,
  lock: Lock,
  maxFiles: number,
  packages: Pick<PackageSource, 'read'>,
): Promise<ReadonlyMap<string, PinnedModule>> {
  return withObjects(repository, async (objects) => {
    const read = [...lock.modules].map(
      async ([alias, entry]) =>
        [
          alias,
          await readPinned(objects, lock.ring, alias, entry, { maxFiles, packages }),
        ] as const,
    );
    return new Map(await Promise.all(read));
  });
}

async function readPinned(
  objects: ObjectBatch,
  ring: string,
  alias: string,
  entry: LockEntry,
  {
    maxFiles,
    packages,
  }: { readonly maxFiles: number; readonly packages: Pick<PackageSource, 'read'> },
): Promise<PinnedModule> {
  const what = `${alias} ${entry.version} of ${ring}`;
  try {
    if (entry.tree === null && entry.artifact !== null) {
      const { manifest, sha256 } = await packages.read(alias, entry.version, entry.artifact);
      return judged(what, 'package', alias, entry, manifest, sha256);
    }
    if (entry.tree === null) throw treeMissing(what, 'the lock names no tree and no artifact');
    const path = `${entry.directory ?? alias} of tree ${entry.tree.slice(0, 12)}`;
    const digest = await digestModule(objects, entry.tree, path, maxFiles);
    if (digest === undefined) throw mismatch(what, 'its tree has no module.json', 'a module');
    const manifest = parseModuleManifest(digest.manifest, `${path}: module.json`);
    return judged(what, 'tree', alias, entry, manifest, digest.sha256);
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    const problem = isObjectMissing(error) ? treeMissing(what, error.message) : error;
    return { manifest: undefined, problem };
  }
}

function judged(
  what: string,
  place: 'tree' | 'package',
  alias: string,
  entry: LockEntry,
  manifest: ModuleManifest,
  sha256: string,
): PinnedModule {
  const differing = (
    [
      ['alias', manifest.alias, alias],
      ['version', manifest.version, entry.version],
      ['digest', sha256, entry.sha256],
    ] as const
  ).find(([, found, expected]) => found !== expected);
  if (differing === undefined) return { manifest };
  const [name, found, expected] = differing;
  return { manifest, problem: mismatch(what, `its ${place} has the ${name} ${found}`, expected) };
}

function treeMissing(what: string, reason: string): RinglockError {
  return refused('tree-missing', `${what} cannot be found: ${reason}`, {
    hint: 'Fetch what has it (`git fetch --all --tags`); after that the ring needs its artifact.',
  });
}

function mismatch(what: string, found: string, expected: string): RinglockError {
  return refused(
    'tree-mismatch',
    `${what} is not what the lock says: ${found}, expected ${expected}`,
    {
      hint: 'The lock was edited by hand or merged badly: restore it from the last good commit.',
    },
  );
}
