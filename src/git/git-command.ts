import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { badInput, environmentFailed, type RinglockError } from '../errors.ts';

/** A repository with a work tree, as the git binary sees it; every path is absolute. */
export interface GitRepository {
  readonly topLevel: string;
  /** This work tree's own git directory (`.git/worktrees/<name>` in a linked one). */
  readonly gitDir: string;
  /** The git directory that all linked work trees share. */
  readonly commonDir: string;
}

export interface GitOptions {
  /** Added to the inherited environment (a hook's GIT_INDEX_FILE and GIT_DIR are inherited too). */
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string | Uint8Array;
}

export interface GitOutcome {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/**
 * The repository that a directory belongs to.
 *
 * @throws RinglockError `not-a-repository`, `git-missing`
 */
export async function findRepository(cwd: string): Promise<GitRepository> {
  const { status, stdout, stderr } = await tryGit(cwd, [
    'rev-parse',
    '--show-toplevel',
    '--absolute-git-dir',
    '--git-common-dir',
  ]);
  const [topLevel, gitDir, commonDir] = stdout.toString().split('\n');
  if (status !== 0 || !topLevel || !gitDir || !commonDir) {
    throw badInput(
      'not-a-repository',
      `${cwd} is not in the work tree of a git repository: ${firstLine(stderr)}`,
      { hint: 'Run it in a clone of the platform, or name one with -C.' },
    );
  }
  return {
    topLevel: resolve(topLevel),
    gitDir: resolve(gitDir),
    commonDir: resolve(cwd, commonDir),
  };
}

/**
 * Runs git and returns its standard output as text, the last newline taken off.
 *
 * @throws RinglockError `git-failed`, `git-missing`
 */
export async function runGit(
  cwd: string,
  args: readonly string[],
  options: GitOptions = {},
): Promise<string> {
  return (await runGitBytes(cwd, args, options)).toString().replace(/\n$/, '');
}

/** As runGit(), for output that is not text or is separated by NUL. */
export async function runGitBytes(
  cwd: string,
  args: readonly string[],
  options: GitOptions = {},
): Promise<Buffer> {
  const outcome = await tryGit(cwd, args, options);
  if (outcome.status !== 0) throw gitFailed(args, outcome);
  return outcome.stdout;
}

/** Runs git and returns what happened, also when it fails. @throws RinglockError `git-missing` */
export function tryGit(
  cwd: string,
  args: readonly string[],
  { env, input }: GitOptions = {},
): Promise<GitOutcome> {
  return new Promise((settle, fail) => {
    const child = spawn('git', args, {
      cwd,
      env: { ...gitEnvironment(), ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', (error) => fail(gitMissing(cwd, error)));
    child.on('close', (code, signal) =>
      settle({
        status: code ?? -1,
        stdout: Buffer.concat(stdout),
        stderr: `${Buffer.concat(stderr)}${signal === null ? '' : `killed by ${signal}`}`,
      }),
    );
    // A git that ends early closes the pipe; its exit code says why.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** LC_ALL=C, because messages are matched; pathspecs are literal, because ours are names. */
export function gitEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C', GIT_LITERAL_PATHSPECS: '1' };
}

export function gitFailed(args: readonly string[], outcome: GitOutcome): RinglockError {
  const name = args.find((arg) => !arg.startsWith('-')) ?? '';
  const reason = outcome.stderr.trim() || `exit code ${outcome.status}`;
  return environmentFailed('git-failed', `git ${name} failed: ${reason}`);
}

export function gitMissing(cwd: string, error: unknown): RinglockError {
  return environmentFailed('git-missing', `git cannot be started in ${cwd}: ${String(error)}`, {
    hint: 'Install git, or see that the directory exists.',
    cause: error,
  });
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? '';
}
