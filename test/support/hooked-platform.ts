import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { installHooks } from '../../src/git/hooks/install.ts';
import { cliPath, runCli } from './cli.ts';
import {
  cloneOf,
  createPlatform,
  lockedAt,
  modulesAt,
  type Platform,
  type PlatformOptions,
} from './platform.ts';
import { type GitResult, openRepository, type Repository } from './repository.ts';

/** A platform with ringlock's hooks in place, and `origin` where asked for. */
export async function createHookedPlatform(
  t: TestContext,
  options: PlatformOptions & { readonly remote?: boolean } = {},
): Promise<Platform> {
  const platform = createPlatform(t, options);
  if (options.remote) platform.addRemote(t);
  await installHooks(await findRepository(platform.path), cliPath);
  return platform;
}

/** Nothing is left to do in the work tree, and HEAD's locks are right in a fresh clone. */
export async function assertCommittedRight(
  t: TestContext,
  repository: Repository,
  expectedStatus = '',
): Promise<void> {
  assert.equal(repository.git('status', '--porcelain'), expectedStatus);
  await assertLocksRight(t, repository);
}

export async function assertLocksRight(t: TestContext, repository: Repository): Promise<void> {
  const clone = cloneOf(t, repository.path);
  const head = repository.git('rev-parse', 'HEAD');
  if (clone.git('rev-parse', 'HEAD') !== head) clone.git('checkout', '-q', head);
  const fresh = openRepository(clone.path);
  assert.deepEqual(
    lockedAt(fresh, 'HEAD', 'canary').sort(byAlias),
    modulesAt(fresh, 'HEAD').sort(byAlias),
  );
  const { code, stdout, stderr } = await runCli(fresh.path, ['lock', '--check']);
  assert.equal(code, 0, stdout + stderr);
}

/** Runs git, expects it to be stopped by a hook with a message, and HEAD to stay. */
export function assertRefused(repository: Repository, args: string[], message: RegExp): GitResult {
  const before = repository.tryGit('rev-parse', 'HEAD').stdout;
  const result = repository.tryGit(...args);
  assert.notEqual(result.status, 0, `git ${args.join(' ')} passed`);
  assert.match(result.stderr, message);
  assert.equal(repository.tryGit('rev-parse', 'HEAD').stdout, before);
  return result;
}

function byAlias(a: { alias: string }, b: { alias: string }): number {
  return a.alias < b.alias ? -1 : 1;
}
