import { badInput, refused } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from '../git/object-batch.ts';
import type { TreeEntry } from '../git/object-store.ts';
import { committedText } from '../repo/committed-text.ts';
import { type ModuleManifest, parseModuleManifest } from '../repo/module-manifest.ts';
import { settingsFile } from '../repo/names.ts';
import { parseSettings, type Settings } from '../repo/settings.ts';

/** A module of a commit, without a look at its other files. */
export interface CommittedModule {
  readonly alias: string;
  /** From the repository's top: `modules/Orders`, `themes/Dark`. */
  readonly path: string;
  readonly manifest: ModuleManifest;
  /** Git tree object id. */
  readonly tree: string;
}

/**
 * The settings and the modules of a commit, sorted by alias.
 *
 * @throws RinglockError `alias-clash`, and what the parsers of the committed files throw
 */
export async function readCommittedModules(
  repository: GitRepository,
  commit: string,
): Promise<{ readonly settings: Settings; readonly modules: readonly CommittedModule[] }> {
  return withObjects(repository, async (objects) => {
    const settings = parseSettings((await textAt(objects, `${commit}:${settingsFile}`)) ?? '');
    const found = await Promise.all(
      settings.roots.map((root) => modulesBelow(objects, commit, root)),
    );
    const modules = found.flat().sort((a, b) => (a.alias < b.alias ? -1 : 1));
    for (const [index, { alias, path }] of modules.entries()) {
      const other = modules[index + 1];
      if (other?.alias !== alias) continue;
      throw refused(
        'alias-clash',
        `${path}/module.json and ${other.path}/module.json both have the alias ${alias}, expected one module for each alias`,
        { hint: 'Give one of them another alias.' },
      );
    }
    return { settings, modules };
  });
}

/**
 * The modules that are named by alias, directory or path; all of them when none is named.
 *
 * @throws RinglockError `unknown-module`
 */
export function selectModules(
  modules: readonly CommittedModule[],
  names: readonly string[],
): readonly CommittedModule[] {
  if (names.length === 0) return modules;
  const wanted = new Set(names.map((name) => requireModule(modules, name)));
  return modules.filter((module) => wanted.has(module));
}

function requireModule(modules: readonly CommittedModule[], name: string): CommittedModule {
  const path = name.replace(/\/+$/, '');
  const found =
    modules.find(({ alias }) => alias === path) ??
    modules.find((module) => module.path === path || module.path.endsWith(`/${path}`));
  if (found !== undefined) return found;
  const known = modules.map(({ alias }) => alias).join(', ') || 'none';
  throw badInput('unknown-module', `there is no module ${name} in this commit, expected ${known}`, {
    hint: 'Name it by alias or directory, and commit it first.',
  });
}

/** The names of a folder's subdirectories in a commit; none when there is no such folder. */
export async function subdirectoriesAt(
  objects: ObjectBatch,
  commit: string,
  folder: string,
): Promise<readonly TreeEntry[]> {
  try {
    const entries = await objects.readTree(
      folder === '' ? `${commit}^{tree}` : `${commit}:${folder}`,
    );
    return entries.filter(({ mode }) => mode === '040000');
  } catch (error) {
    if (isObjectMissing(error)) return [];
    throw error;
  }
}

async function modulesBelow(
  objects: ObjectBatch,
  commit: string,
  root: string,
): Promise<CommittedModule[]> {
  const folders = await subdirectoriesAt(objects, commit, root);
  const found = folders.map(async ({ path: name, oid }) => {
    const path = `${root}/${name}`;
    const text = await textAt(objects, `${oid}:module.json`, `${path}/module.json`);
    if (text === undefined) return [];
    const manifest = parseModuleManifest(text, `${path}/module.json`);
    return [{ alias: manifest.alias, path, manifest, tree: oid }];
  });
  return (await Promise.all(found)).flat();
}

async function textAt(
  objects: ObjectBatch,
  spec: string,
  file = spec,
): Promise<string | undefined> {
  try {
    const { content, type } = await objects.read(spec);
    return type === 'blob' ? committedText(content, file) : undefined;
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}
