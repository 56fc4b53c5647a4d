import { readFile, realpath } from 'node:fs/promises';
import { badInput, environmentFailed, type RinglockError, refused } from '../errors.ts';
import { parsePlatformVersion } from '../repo/platform.ts';
import { diskFailed, isAbsent } from '../store/disk-error.ts';
import { type Generation, readCurrentLink, readGeneration } from '../store/generation.ts';
import { currentPath, generationPath } from '../store/layout.ts';
import { readModules } from './generation-modules.ts';
import { readModulesInPlace } from './in-place-modules.ts';
import {
  type FoundModule,
  type LoadedModule,
  type LoadedModules,
  viewOf,
} from './loaded-modules.ts';

export interface LoadOptions {
  /** The platform's version that this image really is; default: the one of the lock. */
  readonly platform?: string | undefined;
  /** A file that says so in one line, as VERSION; not together with `platform`. */
  readonly platformFile?: string | undefined;
  /** Where `--strategy in-place` keeps the modules: the `--modules-dir` of the reconciler. */
  readonly modulesDirectory?: string | undefined;
  /** How long a switch in that directory may take, in milliseconds (10,000). */
  readonly timeoutMs?: number | undefined;
}

/**
 * What a root serves now: one generation, whole, however many switches happen meanwhile.
 *
 * @param root the directory that a reconciler owns, where `current` is
 * @throws RinglockError `no-generation`, `generation-damaged`, `module-missing`, `manifest-mismatch`,
 *   `newer-lock-version`, `foreign-current`, `disk-denied` and its like, `invalid-platform-version`;
 *   in place also `modules-dir-switching`, `modules-dir-state-damaged`
 */
export async function loadModules(root: string, options: LoadOptions = {}): Promise<LoadedModules> {
  const platform = await platformOf(options);
  const path = await realRoot(root);
  const { generation, modules } = await readWhole(path, options);
  return viewOf(path, generation, modules, platform ?? generation.lock.platform);
}

/**
 * One module of what a root serves now.
 *
 * @param alias as its module.json has it
 * @throws RinglockError as loadModules(), `unknown-module`, and `module-refused` with every reason for
 *   a module that cannot run
 */
export async function resolveModule(
  root: string,
  alias: string,
  options: LoadOptions = {},
): Promise<LoadedModule> {
  const view = await loadModules(root, options);
  const found = view.modules.find((module) => module.alias === alias);
  if (found !== undefined) return found;
  const reasons = view.refused.filter((module) => module.alias === alias);
  if (reasons.length > 0) {
    throw refused('module-refused', reasons.map(({ reason }) => reason).join('; '), {
      hint: 'ringlock compat shows every module that cannot run, and why.',
      details: { refused: reasons },
    });
  }
  const there = view.modules.map((module) => module.alias).sort();
  throw refused(
    'unknown-module',
    `generation ${view.generation} of ${view.root} has no module ${JSON.stringify(alias)}`,
    { hint: `Modules there: ${there.join(', ') || 'none'}.` },
  );
}

async function platformOf({ platform, platformFile }: LoadOptions): Promise<string | undefined> {
  if (platformFile === undefined) {
    return platform === undefined ? undefined : parsePlatformVersion(platform, 'options.platform');
  }
  if (platform !== undefined) {
    throw badInput('platform-twice', 'platform and platformFile are given, expected one of them');
  }
  try {
    return parsePlatformVersion(await readFile(platformFile, 'utf8'), platformFile);
  } catch (error) {
    throw diskFailed(error, platformFile);
  }
}

async function realRoot(root: string): Promise<string> {
  if (typeof root !== 'string' || root === '') {
    throw badInput('no-root', `the root is ${JSON.stringify(root)}, expected a path`, {
      hint: 'Give the directory that the reconciler of this pod has as --root.',
    });
  }
  try {
    return await realpath(root);
  } catch (error) {
    if (isAbsent(error)) throw noGeneration(`${root} is not there`);
    throw diskFailed(error, root);
  }
}

/**
 * Generations never change, but one that was switched out may be collected while it is read. What fails
 * is therefore read again if `current` has moved on, and believed if not.
 */
async function readWhole(
  root: string,
  options: LoadOptions,
): Promise<{ readonly generation: Generation; readonly modules: readonly FoundModule[] }> {
  for (;;) {
    const number = await readCurrentLink(root);
    if (number === undefined) throw noGeneration(`${currentPath(root)} is not there`);
    try {
      const generation = await readGeneration(root, number);
      if (generation === undefined) throw damaged(root, number);
      const { modulesDirectory, timeoutMs } = options;
      if (modulesDirectory === undefined) {
        return { generation, modules: await readModules(generation) };
      }
      const modules = await readModulesInPlace(root, generation, modulesDirectory, timeoutMs);
      if (modules !== undefined) return { generation, modules };
    } catch (error) {
      if ((await readCurrentLink(root)) === number) throw error;
    }
  }
}

function noGeneration(found: string): RinglockError {
  return environmentFailed('no-generation', `${found}: nothing has been installed there yet`, {
    hint: 'Give the reconciler’s --root itself, and have ringlock reconcile --init run before the application starts.',
  });
}

function damaged(root: string, number: number): RinglockError {
  return environmentFailed(
    'generation-damaged',
    `${generationPath(root, number)} is not a generation as it was built`,
    {
      hint: 'It was changed or removed by hand: ringlock reconcile --repair goes on from what is whole.',
    },
  );
}
