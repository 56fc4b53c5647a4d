import { moduleManifestFile } from '../digest/module-files.ts';
import { RinglockError } from '../errors.ts';
import { isObjectMissing, type ObjectBatch } from '../git/object-batch.ts';
import { manifestsDirectory, ringOfRingFile, settingsFile } from '../repo/names.ts';
import { parseRingFile } from '../repo/ring.ts';
import { parseSettings, type Settings } from '../repo/settings.ts';

/** A module as a commit has it; nothing of it but its alias and version has been read. */
export interface ModuleAt {
  readonly alias: string;
  readonly version: string;
  /** From the repository's top: `modules/Orders`. */
  readonly path: string;
  /** Git tree object id. */
  readonly tree: string;
}

/** The settings of a commit; the usual ones where it has none. @throws RinglockError `invalid-file` */
export async function settingsAt(objects: ObjectBatch, commit: string): Promise<Settings> {
  const blob = await unlessMissing(objects.readBlob(`${commit}:${settingsFile}`));
  return parseSettings(blob?.toString() ?? '');
}

/** The branches that the rings of a commit follow; a ring file that cannot be read has none. */
export async function ringBranchesAt(objects: ObjectBatch, commit: string): Promise<string[]> {
  const entries = await unlessMissing(objects.readTree(`${commit}:${manifestsDirectory}`));
  const branches = await Promise.all(
    (entries ?? []).map(async ({ path, oid }) => {
      const name = ringOfRingFile(`${manifestsDirectory}/${path}`);
      if (name === undefined) return [];
      try {
        return [parseRingFile((await objects.readBlob(oid)).toString(), name).ring.branch];
      } catch (error) {
        if (error instanceof RinglockError) return [];
        throw error;
      }
    }),
  );
  return branches.flat();
}

/** Every module of a commit, below the roots that its settings name. */
export async function modulesAt(objects: ObjectBatch, commit: string): Promise<ModuleAt[]> {
  const { roots } = await settingsAt(objects, commit);
  const found = await Promise.all(roots.map((root) => modulesBelow(objects, commit, root)));
  return found.flat();
}

async function modulesBelow(
  objects: ObjectBatch,
  commit: string,
  root: string,
): Promise<ModuleAt[]> {
  const entries = await unlessMissing(objects.readTree(`${commit}:${root}`));
  const folders = (entries ?? []).filter(({ mode }) => mode === '040000');
  const modules = await Promise.all(
    folders.map(async ({ path, oid }) => {
      const blob = await unlessMissing(objects.readBlob(`${oid}:${moduleManifestFile}`));
      const { alias, version } = nameIn(blob);
      if (alias === undefined || version === undefined) return [];
      return [{ alias, version, path: `${root}/${path}`, tree: oid }];
    }),
  );
  return modules.flat();
}

/** A manifest that cannot be read is nobody's here: whoever packages that module is told. */
function nameIn(blob: Buffer | undefined): { alias?: string; version?: string } {
  try {
    const value = JSON.parse(blob?.toString() ?? '') as Record<string, unknown> | null;
    const { alias, version } = value ?? {};
    return typeof alias === 'string' && typeof version === 'string' ? { alias, version } : {};
  } catch {
    return {};
  }
}

/** What is read, or undefined when a path names nothing of that kind. */
async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}
