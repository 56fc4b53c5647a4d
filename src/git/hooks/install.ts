import { existsSync } from 'node:fs';
import {
  access,
  chmod,
  constants,
  lstat,
  mkdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environmentFailed, refused } from '../../errors.ts';
import { type GitRepository, runGit, tryGit } from '../git-command.ts';
import {
  installMergeDriver,
  type MergeDriverStatus,
  mergeDriverStatus,
  uninstallMergeDriver,
} from '../merge/install-driver.ts';

export const hookNames = [
  'pre-commit',
  'pre-merge-commit',
  'pre-push',
  'post-commit',
  'post-rewrite',
] as const;

/** What the shims have in common; each reads it from beside itself. */
const sharedFile = 'ringlock-hook.sh';
const earlierSuffix = '.before-ringlock';

export interface HookStatus {
  readonly name: string;
  /** `foreign`: a hook that is not ringlock's; `outdated`: another version's shim. */
  readonly state: 'installed' | 'outdated' | 'foreign' | 'missing';
  /** Whether a hook that was there before runs first. */
  readonly chained: boolean;
}

export interface HooksStatus {
  /** Where git looks for hooks (`core.hooksPath` respected). */
  readonly directory: string;
  readonly hooks: readonly HookStatus[];
  readonly mergeDriver: MergeDriverStatus;
  /** Whether every hook is there, and git knows the merge driver and what it is for. */
  readonly installed: boolean;
}

/**
 * Puts the shims where git looks for hooks; a hook already there is kept as `<hook>.before-ringlock`
 * and runs first. Tells git of the merge driver, too. Doing it again changes nothing.
 *
 * @param program the ringlock that the shims start when the repository's node_modules has none
 * @throws RinglockError `hook-in-the-way`, `hooks-missing`
 */
export async function installHooks(
  repository: GitRepository,
  program: string,
): Promise<HooksStatus> {
  const directory = await hooksDirectory(repository);
  await mkdir(directory, { recursive: true });
  for (const name of hookNames) await keepEarlier(directory, name);
  for (const name of [sharedFile, ...hookNames]) {
    await writeFile(join(directory, name), await shippedText(name));
    await chmod(join(directory, name), name === sharedFile ? 0o644 : 0o755);
  }
  const set = (name: string, value: string) =>
    runGit(repository.topLevel, ['config', '--local', name, value]);
  await set('ringlock.program', program);
  await set('ringlock.node', process.execPath);
  await installMergeDriver(repository);
  return hooksStatus(repository);
}

async function keepEarlier(directory: string, name: string): Promise<void> {
  const hook = join(directory, name);
  if (!(await isThere(hook)) || (await isOurs(hook))) return;
  const earlier = `${hook}${earlierSuffix}`;
  if (await isThere(earlier)) {
    throw refused('hook-in-the-way', `${hook} is not ringlock's, and ${earlier} is there already`, {
      hint: 'Make one of the two, then run this again.',
    });
  }
  await rename(hook, earlier);
}

/** Takes the shims away and puts back what was there before. */
export async function uninstallHooks(repository: GitRepository): Promise<HooksStatus> {
  const directory = await hooksDirectory(repository);
  for (const name of hookNames) {
    const hook = join(directory, name);
    if (!(await isOurs(hook))) continue;
    await rm(hook);
    const earlier = `${hook}${earlierSuffix}`;
    if (await isThere(earlier)) await rename(earlier, hook);
  }
  await rm(join(directory, sharedFile), { force: true });
  await tryGit(repository.topLevel, ['config', '--local', '--remove-section', 'ringlock']);
  await uninstallMergeDriver(repository);
  return hooksStatus(repository);
}

export async function hooksStatus(repository: GitRepository): Promise<HooksStatus> {
  const directory = await hooksDirectory(repository);
  const shared = (await textOf(join(directory, sharedFile))) === (await shippedText(sharedFile));
  const hooks: HookStatus[] = [];
  for (const name of hookNames) {
    const hook = join(directory, name);
    const same = shared && (await textOf(hook)) === (await shippedText(name));
    const state = !(await isThere(hook))
      ? 'missing'
      : !(await isOurs(hook))
        ? 'foreign'
        : same && (await isExecutable(hook))
          ? 'installed'
          : 'outdated';
    hooks.push({ name, state, chained: await isThere(`${hook}${earlierSuffix}`) });
  }
  const mergeDriver = await mergeDriverStatus(repository);
  const installed =
    hooks.every(({ state }) => state === 'installed') &&
    mergeDriver.configuration === 'installed' &&
    mergeDriver.attributes.every(({ state }) => state !== 'missing');
  return { directory, hooks, mergeDriver, installed };
}

/** husky makes `.husky/_` anew at each install and runs the hooks of `.husky` from there. */
async function hooksDirectory({ topLevel }: GitRepository): Promise<string> {
  const path = resolve(topLevel, await runGit(topLevel, ['rev-parse', '--git-path', 'hooks']));
  return basename(path) === '_' && basename(dirname(path)) === '.husky' ? dirname(path) : path;
}

async function isOurs(hook: string): Promise<boolean> {
  return (await textOf(hook))?.includes(`/${sharedFile}"`) ?? false;
}

async function isThere(path: string): Promise<boolean> {
  // A dangling link is a hook in the way, too.
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

async function shippedText(name: string): Promise<string> {
  return readFile(join(shippedDirectory(), name), 'utf8');
}

/** `hooks/` of this package: beside dist/ when bundled, beside src/ when run from the sources. */
function shippedDirectory(): string {
  let at = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(at, 'hooks', sharedFile);
    if (existsSync(candidate)) return dirname(candidate);
    const above = dirname(at);
    if (above === at) {
      throw environmentFailed('hooks-missing', `this ringlock has no hooks/${sharedFile}`, {
        hint: 'Install the ringlock package again.',
      });
    }
    at = above;
  }
}
