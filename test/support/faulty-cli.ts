import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type CliResult, cliPath } from './cli.ts';
import { gitEnvironment } from './repository.ts';

/** Calls of the disk that fail, as test/support/faulty-disk.mjs makes them fail. */
export interface DiskFault {
  /** ENOSPC, EIO, EACCES, … */
  readonly code: string;
  /** A regular expression over `operation path`; every changing call when absent. */
  readonly matching?: string;
  /** The first matching call that fails, counted from 1. */
  readonly from: number;
  /** How many fail; all that follow when absent. */
  readonly count?: number;
}

/** Environment that makes the built program's disk fail. */
export function withFault(fault: DiskFault, countFile?: string): NodeJS.ProcessEnv {
  return {
    NODE_OPTIONS: `--import=${join(import.meta.dirname, 'faulty-disk.mjs')}`,
    RINGLOCK_TEST_FAULT: JSON.stringify(fault),
    ...(countFile !== undefined && { RINGLOCK_TEST_FAULT_COUNT: countFile }),
  };
}

/** Environment in which the clock is off by as many milliseconds as a file says, at any time. */
export function withClock(offsetFile: string): NodeJS.ProcessEnv {
  return {
    NODE_OPTIONS: `--import=${join(import.meta.dirname, 'shifted-clock.mjs')}`,
    RINGLOCK_TEST_CLOCK: offsetFile,
  };
}

/** Runs a built program as another user. */
export function runAs(
  uid: number,
  directory: string,
  args: readonly string[],
  program = cliPath,
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: directory,
      env: { ...gitEnvironment, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      uid,
      gid: uid,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => (stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}
