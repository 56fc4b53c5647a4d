import { type ChildProcess, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { onEnd } from './cleanup.ts';
import { cliPath } from './cli.ts';
import type { ReconcileArguments } from './deploy.ts';
import { gitEnvironment } from './repository.ts';

/** A running `reconcile --watch`, killed after the test at the latest. */
export interface Watching {
  readonly process: ChildProcess;
  /** Everything on standard error so far. */
  log(): string;
  /** The end of it, for messages: an error of hundreds of kilobytes hangs node 20's test runner. */
  tail(): string;
  /** Sends a signal and waits for the end; returns the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export function startWatching(
  t: TestContext,
  { repo, root, ring = 'canary' }: ReconcileArguments,
  more: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): Watching {
  const args = ['reconcile', '--watch', '--repo', repo, '--root', root, '--ring', ring, ...more];
  const child = spawn(process.execPath, [cliPath, ...args], {
    cwd: root,
    env: { ...gitEnvironment, NO_COLOR: '1', ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => (log += chunk));
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  onEnd(t, async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return {
    process: child,
    log: () => log,
    tail: () => log.slice(-8_000),
    end: (signal) => {
      child.kill(signal);
      return closed;
    },
  };
}
