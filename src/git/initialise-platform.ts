import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { badInput } from '../errors.ts';
import { formatLock } from '../repo/lock.ts';
import { lockFromModules } from '../repo/lock-writing.ts';
import { parseModuleManifest } from '../repo/module-manifest.ts';
import {
  lockFile,
  manifestsDirectory,
  requireRingName,
  ringOfRingFile,
  settingsFile,
} from '../repo/names.ts';
import { firstPlatformVersion, newPlatformFiles } from '../repo/platform-template.ts';
import { parseSettings } from '../repo/settings.ts';
import { type GitRepository, tryGit } from './git-command.ts';
import { readPlatform } from './platform-snapshot.ts';
import { workTree } from './tree-snapshot.ts';

export interface InitialisationPlan {
  /** In chain order; the last one tracks `modules/`. */
  readonly rings: readonly string[];
  /** What will be written, by path; locks come after, from these. */
  readonly files: Readonly<Record<string, string>>;
  /** What is there already and stays. */
  readonly kept: readonly string[];
  /** Locks that will be written. */
  readonly locks: readonly string[];
}

/**
 * Decides which files a repository with `modules/` lacks; writes nothing.
 *
 * @param wanted the rings, or undefined for those there are, or else stable, edge and canary
 * @throws RinglockError `no-modules`, `invalid-ring-name`
 */
export async function planInitialisation(
  repository: GitRepository,
  wanted: readonly string[] | undefined,
): Promise<InitialisationPlan> {
  const { topLevel } = repository;
  const isThere = (file: string) => existsSync(join(topLevel, file));
  const roots = isThere(settingsFile)
    ? parseSettings(readFileSync(join(topLevel, settingsFile), 'utf8')).roots
    : ['modules'];
  if (!roots.some(isThere)) {
    throw badInput('no-modules', `${topLevel} has no ${roots.join(' or ')} folder`, {
      hint: 'Make one with a folder for each module, each with a module.json.',
    });
  }
  const rings = requireRings(wanted ?? ringsThere(topLevel));
  const branch = await presentBranch(repository);
  const platform = firstPlatformVersion(platformRanges(topLevel, roots));
  const all = newPlatformFiles(rings, platform, branch);
  const locks = rings.map(lockFile);
  return {
    rings,
    files: Object.fromEntries(Object.entries(all).filter(([file]) => !isThere(file))),
    kept: [...Object.keys(all), ...locks].filter(isThere),
    locks: locks.filter((file) => !isThere(file)),
  };
}

function requireRings(names: readonly string[]): readonly string[] {
  const rings = names.map((name) => requireRingName(name.trim()));
  if (rings.length > 0 && new Set(rings).size === rings.length) return rings;
  throw badInput('invalid-ring-name', `the rings are ${names.join(',')}, expected different names`);
}

function ringsThere(topLevel: string): readonly string[] {
  const folder = join(topLevel, manifestsDirectory);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const rings = names.flatMap((name) => ringOfRingFile(`${manifestsDirectory}/${name}`) ?? []);
  return rings.length > 0 ? rings.sort() : ['stable', 'edge', 'canary'];
}

async function presentBranch({ topLevel }: GitRepository): Promise<string> {
  const { status, stdout } = await tryGit(topLevel, ['symbolic-ref', '--short', '--quiet', 'HEAD']);
  return status === 0 ? stdout.toString().trim() : 'main';
}

/** Of manifests that can be read; the lock will complain about the others. */
function platformRanges(topLevel: string, roots: readonly string[]): string[] {
  return roots.flatMap((root) => {
    if (!existsSync(join(topLevel, root))) return [];
    return readdirSync(join(topLevel, root)).flatMap((name) => {
      const file = `${root}/${name}/module.json`;
      if (!existsSync(join(topLevel, file))) return [];
      const text = readFileSync(join(topLevel, file), 'utf8');
      return parseModuleManifest(text, file).platformRange ?? [];
    });
  });
}

/**
 * Writes what the plan says, then every lock that is missing: all rings start at what `modules/` has.
 *
 * @returns the files written, from the repository's top
 */
export async function initialisePlatform(
  repository: GitRepository,
  { files, locks }: InitialisationPlan,
): Promise<string[]> {
  for (const [file, text] of Object.entries(files)) await create(repository, file, text);
  const snapshot = await readPlatform(repository, await workTree(repository));
  for (const { ring } of snapshot.rings.values()) {
    const file = lockFile(ring.name);
    if (!locks.includes(file)) continue;
    const { platform, modules } = snapshot;
    const lock = lockFromModules({ ring, platform, modules, existing: undefined });
    await create(repository, file, formatLock(lock));
  }
  return [...Object.keys(files), ...locks];
}

async function create({ topLevel }: GitRepository, file: string, text: string): Promise<void> {
  const target = join(topLevel, file);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text, { flag: 'wx' });
}
