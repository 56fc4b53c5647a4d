import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type GitServer, startGitServer } from '../test/support/git-server.ts';
import { startPostgres } from '../test/support/postgres.ts';
import { gitEnvironment } from '../test/support/repository.ts';
import { type RingPod, startPod, stopPod } from './ring-pod.ts';
import type { Show } from './show.ts';

const projectDirectory = join(import.meta.dirname, '..');
const cliPath = join(projectDirectory, 'dist/cli.js');

interface CommandResult {
  readonly code: number;
  /** Standard output and error, as a person would see them. */
  readonly output: string;
}

/** Runs a shell command line in the checkout, showing it and what it printed. */
type RunCommand = (commandLine: string, options?: { quiet?: boolean }) => Promise<CommandResult>;

/** A throwaway platform: a repository, its server, a database, and one reconciler for each ring. */
export interface Stage {
  readonly directory: string;
  /** The developer's checkout. */
  readonly checkout: string;
  readonly repositoryUrl: string;
  readonly databaseUrl: string;
  readonly pods: readonly RingPod[];
  readonly run: RunCommand;
  close(): Promise<void>;
}

/** @param rings one reconciler process is started for each */
export async function setStage(show: Show, rings: readonly string[]): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-demo-'));
  const closers: (() => Promise<void> | void)[] = [
    () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  ];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const environment = demoEnvironment(directory);
    const checkout = join(directory, 'platform');
    const run = runner(show, checkout, environment);
    const git = await serveBareRepository(directory);
    closers.push(() => git.close());
    const repositoryUrl = `${git.url}/platform.git`;
    await makePlatform(checkout, repositoryUrl, run);
    const postgres = await startPostgres();
    closers.push(() => postgres.stop());
    const pods: RingPod[] = [];
    closers.push(async () => {
      await Promise.all(pods.map(stopPod));
    });
    for (const ring of rings) {
      const root = join(directory, 'rings', ring);
      const podEnvironment = { ...environment, RING_NAME: ring, DATABASE_URL: postgres.url };
      pods.push(await startPod({ cliPath, ring, root, repositoryUrl }, podEnvironment));
    }
    return { directory, checkout, repositoryUrl, databaseUrl: postgres.url, pods, run, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** `ringlock` on the PATH is the program that was just built. */
function demoEnvironment(directory: string): NodeJS.ProcessEnv {
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  const shim = `#!/bin/sh\nexec "${process.execPath}" "${cliPath}" "$@"\n`;
  writeFileSync(join(bin, 'ringlock'), shim, { mode: 0o755 });
  const path = `${bin}${delimiter}${process.env['PATH'] ?? ''}`;
  return { ...gitEnvironment, PATH: path, NO_COLOR: '1' };
}

function runner(show: Show, checkout: string, environment: NodeJS.ProcessEnv): RunCommand {
  return async (commandLine, { quiet = false } = {}) => {
    if (!quiet) show.command(commandLine);
    const child = spawn('sh', ['-c', commandLine], { cwd: checkout, env: environment });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk) => (output += chunk));
    const code = await new Promise<number>((resolve) =>
      child.on('close', (status) => resolve(status ?? -1)),
    );
    if (!quiet && output.trim() !== '') show.output(output);
    return { code, output };
  };
}

async function serveBareRepository(directory: string): Promise<GitServer> {
  const served = join(directory, 'served');
  const bare = join(served, 'platform.git');
  mkdirSync(bare, { recursive: true });
  const init = spawn('git', ['init', '-q', '--bare', '-b', 'main', bare], { env: gitEnvironment });
  await new Promise((resolve) => init.once('close', resolve));
  return await startGitServer(served, { config: { 'http.receivepack': 'true' } });
}

/** Makes the platform's repository out of this project's sample, with the hooks, and pushes it. */
async function makePlatform(checkout: string, url: string, run: RunCommand): Promise<void> {
  mkdirSync(checkout);
  for (const name of ['modules', 'manifests', 'VERSION']) {
    cpSync(join(projectDirectory, name), join(checkout, name), { recursive: true });
  }
  const commands = [
    'git init -q -b main',
    `git remote add origin ${url}`,
    'ringlock hooks install',
    'git add -A',
    'git commit -q -m "The platform as it is today"',
    'git push -q -u origin main',
  ];
  for (const command of commands) {
    const { code, output } = await run(command, { quiet: true });
    if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}`);
  }
}
