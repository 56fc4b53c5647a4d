import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { moduleManifestFile } from '../digest/module-files.ts';
import { environmentFailed } from '../errors.ts';
import type { LockEntry } from '../repo/lock.ts';
import { type ModuleFile, parseModuleManifest } from '../repo/module-manifest.ts';
import { diskFailed, isAbsent } from '../store/disk-error.ts';
import type { Generation } from '../store/generation.ts';
import { moduleDirectories } from '../store/layout.ts';
import type { FoundModule } from './loaded-modules.ts';

/** Open files at a time: a lock may have thousands of modules. */
const openFiles = 32;

/**
 * Every module that a generation's lock pins, as its directory has it.
 *
 * @param place where the modules' directories are: the generation itself, or the directory that
 *   `--strategy in-place` keeps equal to it
 * @throws RinglockError `module-missing`, `manifest-mismatch`, `invalid-json`, `invalid-file`,
 *   `disk-denied` and its like
 */
export async function readModules(
  { lock, number, path }: Generation,
  place: string = path,
): Promise<FoundModule[]> {
  const limit = pLimit(openFiles);
  const directories = [...moduleDirectories(lock)];
  return Promise.all(
    directories.flatMap(([alias, directory]) => {
      const entry = lock.modules.get(alias);
      if (entry === undefined) return [];
      return limit(() => readModule(alias, entry, join(place, directory), number));
    }),
  );
}

async function readModule(
  alias: string,
  entry: LockEntry,
  directory: string,
  generation: number,
): Promise<FoundModule> {
  const { version, sha256 } = entry;
  const pinned = `generation ${generation} pins ${alias} ${version}`;
  let path: string;
  let text: string;
  try {
    path = await realpath(directory);
    text = await readFile(join(path, moduleManifestFile), 'utf8');
  } catch (error) {
    if (!isAbsent(error)) throw diskFailed(error, directory);
    throw environmentFailed(
      'module-missing',
      `${join(directory, moduleManifestFile)} is not there, ${pinned}`,
      { hint: repairHint },
    );
  }
  const graph = parseModuleManifest(text, join(directory, moduleManifestFile));
  if (graph.alias !== alias || graph.version !== version) {
    throw environmentFailed(
      'manifest-mismatch',
      `${directory} holds ${graph.alias} ${graph.version}, ${pinned}`,
      { hint: repairHint },
    );
  }
  return { alias, version, path, sha256, manifest: JSON.parse(text) as ModuleFile, graph };
}

const repairHint =
  'It was changed by hand: the reconciler repairs it at its next content check, or now with ringlock reconcile --repair.';
