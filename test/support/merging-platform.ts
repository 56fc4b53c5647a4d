import type { TestContext } from 'node:test';
import { findRepository, runGit } from '../../src/git/git-command.ts';
import { installMergeDriver } from '../../src/git/merge/install-driver.ts';
import { readPlatform } from '../../src/git/platform-snapshot.ts';
import { workTree } from '../../src/git/tree-snapshot.ts';
import { planLocks, writeLocks } from '../../src/git/write-locks.ts';
import { cliPath } from './cli.ts';
import { createPlatform, moduleFiles, type Platform, type PlatformOptions } from './platform.ts';
import type { Repository } from './repository.ts';

/** A platform whose git has the merge driver, and no hooks: they cost a process for each commit. */
export async function createMergingPlatform(
  t: TestContext,
  options: PlatformOptions = {},
): Promise<Platform> {
  const platform = createPlatform(t, options);
  await installDriver(platform);
  return platform;
}

export async function installDriver({ path }: Repository): Promise<void> {
  const repository = await findRepository(path);
  await installMergeDriver(repository);
  await runGit(path, ['config', 'ringlock.program', cliPath]);
  await runGit(path, ['config', 'ringlock.node', process.execPath]);
}

/** Writes rings' locks from the work tree, as `lock --force` does. */
async function lockRings({ path }: Platform, rings: readonly string[]): Promise<void> {
  const repository = await findRepository(path);
  const snapshot = await readPlatform(repository, await workTree(repository));
  for (const ring of rings) {
    const locks = await planLocks(repository, snapshot, { ring, force: true });
    await writeLocks(repository, locks, false);
  }
}

/** What `lock --check` finds in the tracking rings. */
export async function staleLocks({ path }: Platform): Promise<string[]> {
  const repository = await findRepository(path);
  const snapshot = await readPlatform(repository, await workTree(repository));
  const locks = await planLocks(repository, snapshot);
  return locks.flatMap(({ differences }) => differences.map(({ message }) => message));
}

/** Commits a version of a module, with other bytes, and locks the rings with what is there then. */
export async function release(
  platform: Platform,
  directory: string,
  version: string,
  rings: readonly string[] = ['canary'],
): Promise<string> {
  platform.change(directory, `${directory} ${version}`);
  platform.setVersion(directory, version);
  await lockRings(platform, rings);
  return platform.commit(`${directory} ${version}`);
}

/** Commits a ring's lock as another revision has it. */
export async function pin(platform: Platform, ring: string, revision: string): Promise<string> {
  platform.git('checkout', '-q', revision, '--', 'modules');
  await lockRings(platform, [ring]);
  platform.git('checkout', '-q', 'HEAD', '--', 'modules');
  return platform.commit(`Pin ${ring} to ${revision}`);
}

export function lockOf(platform: Platform, ring: string, treeish = 'HEAD') {
  return JSON.parse(platform.git('show', `${treeish}:manifests/${ring}.lock.json`));
}

/** Commits a new module `0.1.0`, its alias its directory in lower case, and locks canary. */
export async function addModule(platform: Platform, directory: string): Promise<void> {
  const alias = directory.toLowerCase();
  for (const [name, text] of Object.entries(moduleFiles({ directory, alias, version: '0.1.0' }))) {
    platform.write({ [`modules/${directory}/${name}`]: text });
  }
  await lockRings(platform, ['canary']);
  platform.commit(`Add ${directory}`);
}
