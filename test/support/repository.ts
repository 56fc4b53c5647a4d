import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryDirectory } from './temporary.ts';

/** git with nothing of this machine's configuration, a fixed author, and no hook but the repository's. */
export const gitEnvironment: NodeJS.ProcessEnv = {
  ...withoutGitVariables(process.env),
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada Developer',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada Developer',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
  GIT_TERMINAL_PROMPT: '0',
};

function withoutGitVariables(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('GIT_')),
  );
}

export interface GitResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A real git repository in a temporary directory. */
export interface Repository {
  readonly path: string;
  /** Runs git and returns its trimmed standard output; throws with git's message when it fails. */
  git(...args: string[]): string;
  /** Runs git and returns what happened, also when it fails. */
  tryGit(...args: string[]): GitResult;
  /** Writes files (paths relative to the repository); null deletes. */
  write(files: Readonly<Record<string, string | Uint8Array | null>>): void;
  read(path: string): string;
  /** Writes, `git add -A`, commits; returns the commit id. */
  commit(message: string, files?: Readonly<Record<string, string | Uint8Array | null>>): string;
}

export function createRepository(t: TestContext, ...initArgs: string[]): Repository {
  const path = temporaryDirectory(t, 'repo');
  execFileSync('git', ['init', '-q', '-b', 'main', ...initArgs, path], { env: gitEnvironment });
  return openRepository(path);
}

/** The same for a repository that is there (a clone, a linked worktree). */
export function openRepository(path: string): Repository {
  const tryGit = (...args: string[]): GitResult => {
    const result = spawnSync('git', args, { cwd: path, env: gitEnvironment, encoding: 'utf8' });
    return { status: result.status ?? -1, stdout: result.stdout, stderr: result.stderr };
  };
  const git = (...args: string[]): string => {
    const { status, stdout, stderr } = tryGit(...args);
    if (status !== 0)
      throw new Error(`git ${args.join(' ')} ended with ${status}: ${stderr}${stdout}`);
    return stdout.trimEnd();
  };
  const write: Repository['write'] = (files) => {
    for (const [name, content] of Object.entries(files)) {
      const target = join(path, name);
      if (content === null) {
        rmSync(target, { recursive: true, force: true });
        continue;
      }
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, content);
      if (name.endsWith('.sh')) chmodSync(target, 0o755);
    }
  };
  return {
    path,
    git,
    tryGit,
    write,
    read: (name) => readFileSync(join(path, name), 'utf8'),
    commit: (message, files = {}) => {
      write(files);
      git('add', '-A');
      git('commit', '-q', '--allow-empty', '-m', message);
      return git('rev-parse', 'HEAD');
    },
  };
}
