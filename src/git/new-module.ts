import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { badInput, refused } from '../errors.ts';
import { aliasOfName, newModuleFiles } from '../repo/module-template.ts';
import { isAlias } from '../repo/names.ts';
import type { GitRepository } from './git-command.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';

export interface NewModule {
  readonly alias: string;
  /** From the repository's top. */
  readonly path: string;
  readonly files: readonly string[];
}

/**
 * Writes a small module to start from.
 *
 * @param root a package root of the settings; undefined: the first
 * @param date `2026-11-24`, for the changelog
 * @throws RinglockError `invalid-module-name`, `unknown-root`, `alias-clash`, `module-exists`
 */
export async function createModule(
  { topLevel }: GitRepository,
  { modules, platform, settings }: PlatformSnapshot,
  name: string,
  root: string | undefined,
  date: string,
): Promise<NewModule> {
  const alias = aliasOfName(name);
  if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(name) || !isAlias(alias)) {
    throw badInput(
      'invalid-module-name',
      `${JSON.stringify(name)} cannot name a module, expected a letter, then letters, digits, dots, hyphens or underscores, such as StoreShopify`,
    );
  }
  const folder = root ?? settings.roots[0] ?? 'modules';
  if (!settings.roots.includes(folder)) {
    throw badInput(
      'unknown-root',
      `${folder} is not a package root, expected one of ${settings.roots.join(', ')}`,
    );
  }
  const path = `${folder}/${name}`;
  const other = modules.get(alias);
  if (other !== undefined) {
    throw refused('alias-clash', `${other.path} has the alias ${alias} already`, {
      hint: 'Choose another name.',
    });
  }
  if (existsSync(join(topLevel, path))) throw refused('module-exists', `${path} is there already`);
  const files = newModuleFiles({ name, alias, platform, date });
  for (const [file, text] of Object.entries(files)) {
    const target = join(topLevel, path, file);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text, { flag: 'wx' });
  }
  return { alias, path, files: Object.keys(files).map((file) => `${path}/${file}`) };
}
