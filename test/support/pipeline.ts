import { execFileSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { type CiContext, readCiContext } from '../../src/ci/ci-context.ts';
import { type CiRange, findCiRange, type RangeRequest } from '../../src/ci/ci-range.ts';
import { findRepository, type GitRepository } from '../../src/git/git-command.ts';
import { createPlatform, type Platform, writeLocks } from './platform.ts';
import { gitEnvironment, openRepository, type Repository } from './repository.ts';
import { temporaryDirectory } from './temporary.ts';

/** A platform with `origin`, as developers have it. */
export interface PushedPlatform extends Platform {
  /** The bare repository. */
  readonly origin: string;
}

export function createPushedPlatform(t: TestContext): PushedPlatform {
  const platform = createPlatform(t);
  return { ...platform, origin: platform.addRemote(t) };
}

/** Commits with the tracking ring's lock as the hook would write it. */
export function commitLocked(platform: Platform, message: string): string {
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  return platform.commit(message);
}

/** Changes a module's file and version, and commits. */
export function commitBump(platform: Platform, directory: string, version: string): string {
  platform.change(directory);
  platform.setVersion(directory, version);
  return commitLocked(platform, `${directory} ${version}`);
}

/** What a runner checks out: a ref of the remote, alone, on no branch, without tags. */
export function runnerClone(
  t: TestContext,
  origin: string,
  ref: string,
  depth: number | undefined = 1,
): Repository {
  const path = temporaryDirectory(t, 'runner');
  const git = (...args: string[]) => execFileSync('git', args, { cwd: path, env: gitEnvironment });
  git('init', '-q');
  git('remote', 'add', 'origin', `file://${origin}`);
  const cut = depth === undefined ? [] : [`--depth=${depth}`];
  git('fetch', '-q', '--no-tags', ...cut, 'origin', `+${ref}:refs/pipelines/1`);
  git('checkout', '-q', '--detach', 'refs/pipelines/1');
  return openRepository(path);
}

export const mergeRequest = {
  GITLAB_CI: 'true',
  CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
  CI_MERGE_REQUEST_SOURCE_BRANCH_NAME: 'topic',
};

interface FoundRange {
  readonly repository: GitRepository;
  readonly context: CiContext;
  readonly request: RangeRequest;
  readonly range: CiRange;
}

/** The change as a command of a pipeline finds it. */
export async function rangeOf(
  { path }: Repository,
  environment: Record<string, string> = {},
  more: Partial<RangeRequest> = {},
): Promise<FoundRange> {
  const repository = await findRepository(path);
  const context = readCiContext(environment, environment['EVENT']);
  const request: RangeRequest = { need: 'all', ...more };
  return { repository, context, request, range: await findCiRange(repository, context, request) };
}
