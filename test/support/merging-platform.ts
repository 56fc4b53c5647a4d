import type { TestContext } from 'node:test';
import { findRepository, runGit } from '../../src/git/git-command.ts';
import { installMergeDriver } from '../../src/git/merge/install-driver.ts';
import { cliPath } from './cli.ts';
import {
  createPlatform,
  moduleFiles,
  type Platform,
  type PlatformOptions,
  writeLocks,
} from './platform.ts';

/** A platform whose git has the merge driver, and no hooks: they cost a process for each commit. */
export async function createMergingPlatform(
  t: TestContext,
  options: PlatformOptions = {},
): Promise<Platform> {
  const platform = createPlatform(t, options);
  await installDriver(platform.path);
  return platform;
}

async function installDriver(path: string): Promise<void> {
  const repository = await findRepository(path);
  await installMergeDriver(repository);
  await runGit(path, ['config', 'ringlock.program', cliPath]);
  await runGit(path, ['config', 'ringlock.node', process.execPath]);
}

/** Commits a version of a module, with other bytes, and locks the rings with what is there then. */
export function release(
  platform: Platform,
  directory: string,
  version: string,
  rings: readonly string[] = ['canary'],
): string {
  platform.change(directory, `${directory} ${version}`);
  platform.setVersion(directory, version);
  platform.git('add', '-A');
  writeLocks(platform, rings);
  return platform.commit(`${directory} ${version}`);
}

/** Commits a ring's lock as another revision has it. */
export function pin(platform: Platform, ring: string, revision: string): string {
  platform.git('checkout', '-q', revision, '--', 'modules');
  platform.git('add', '-A');
  writeLocks(platform, [ring]);
  platform.git('checkout', '-q', 'HEAD', '--', 'modules');
  return platform.commit(`Pin ${ring} to ${revision}`);
}

export function lockOf(platform: Platform, ring: string, treeish = 'HEAD') {
  return JSON.parse(platform.git('show', `${treeish}:manifests/${ring}.lock.json`));
}

/** Commits a new module `0.1.0`, its alias its directory in lower case, and locks canary. */
export function addModule(platform: Platform, directory: string): void {
  const alias = directory.toLowerCase();
  for (const [name, text] of Object.entries(moduleFiles({ directory, alias, version: '0.1.0' }))) {
    platform.write({ [`modules/${directory}/${name}`]: text });
  }
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  platform.commit(`Add ${directory}`);
}
