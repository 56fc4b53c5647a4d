import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { benchEnvironment } from './platform-repository.ts';

/** One line of the bench table: what was measured, against what floor, and what is aimed for. */
export interface BenchRow {
  readonly what: string;
  readonly measured: string;
  readonly floor: string;
  /** Measured divided by the floor; undefined where there is no floor. */
  readonly ratio: number | undefined;
  readonly target: string;
}

/** The built program. */
export const cliPath = join(import.meta.dirname, '../../dist/cli.js');

/** Median milliseconds of several runs after one that is not counted; `before` is not timed. */
export async function medianMs(
  runs: number,
  run: () => Promise<unknown> | unknown,
  before: () => Promise<unknown> | unknown = () => {},
): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index <= runs; index++) {
    await before();
    const startedAt = performance.now();
    await run();
    if (index > 0) times.push(performance.now() - startedAt);
  }
  return quantile(times, 0.5);
}

/** The smallest value that a share of the values does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export function timeRow(
  what: string,
  ms: number,
  [floorName, floorMs]: readonly [name: string, ms: number],
  target: string,
): BenchRow {
  const floor = `${floorName}: ${showMs(floorMs)}`;
  return { what, measured: showMs(ms), floor, ratio: ms / floorMs, target };
}

export function bytesRow(
  what: string,
  bytes: number,
  [floorName, floorBytes]: readonly [name: string, bytes: number],
  target: string,
): BenchRow {
  const floor = `${floorName}: ${showBytes(floorBytes)}`;
  return { what, measured: showBytes(bytes), floor, ratio: bytes / floorBytes, target };
}

export function showMs(ms: number): string {
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

function showBytes(bytes: number): string {
  return bytes < 10_000_000
    ? `${(bytes / 1000).toFixed(1)} kB`
    : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** Runs a program to its end; throws when it fails. */
export function run(cwd: string, command: string, args: readonly string[]): void {
  execFileSync(command, args, {
    cwd,
    env: benchEnvironment,
    stdio: ['ignore', 'ignore', 'inherit'],
    maxBuffer: 1 << 30,
  });
}

/** Runs the built program to its end. */
export function ringlock(cwd: string, ...args: string[]): void {
  run(cwd, process.execPath, [cliPath, ...args]);
}
