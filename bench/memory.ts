import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readStatus } from '../src/store/status-file.ts';
import { startGitServer } from '../test/support/git-server.ts';
import { type BenchRow, cliPath, ringlock, run } from './support/measure.ts';
import {
  benchEnvironment,
  makePlatformRepository,
  type PlatformShape,
} from './support/platform-repository.ts';

const shapes: readonly PlatformShape[] = [
  { modules: 2, files: 10, commits: 20, bytes: 2_000 },
  { modules: 200, files: 100_000, commits: 20, bytes: 2_000 },
];

/** As overlays/base sets it. */
const nodeOptions = '--max-semi-space-size=1';

/** Resident memory of a sidecar on a small and on a very large platform, against a Node that waits. */
export async function benchMemory(): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const shape of shapes) rows.push(await memoryRow(shape));
  return rows;
}

/** Of the built program, some ticks after it has installed everything from a server. */
async function memoryRow(shape: PlatformShape): Promise<BenchRow> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-bench-'));
  const repository = join(directory, 'platform');
  const server = await startGitServer(directory);
  try {
    await makePlatformRepository(repository, shape);
    ringlock(repository, 'lock');
    run(repository, 'git', ['add', '-A']);
    run(repository, 'git', ['commit', '-q', '--no-verify', '-m', 'Lock']);
    run(directory, 'git', ['clone', '-q', '--bare', repository, 'platform.git']);
    const root = join(directory, 'root');
    const flags = ['--ring', 'canary', '--interval', '200ms', '--listen', '0', '--root', root];
    const repo = `${server.url}/platform.git`;
    const sidecar = [cliPath, 'reconcile', '--watch', '--repo', repo, ...flags];
    const [floor] = await residentOf(['-e', 'setInterval(() => {}, 1000)'], () => sleep(1_000));
    const [steady, largest] = await residentOf(sidecar, () => converged(root));
    return {
      what: `sidecar memory, ${shape.files.toLocaleString('en')} files`,
      measured: `${steady} MB steady, ${largest} MB at most`,
      floor: `node, waiting: ${floor} MB`,
      ratio: steady / floor,
      target: '< 100 MB steady',
    };
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function converged(root: string): Promise<void> {
  while ((await readStatus(root).catch(() => undefined))?.state !== 'converged') await sleep(100);
  await sleep(10_000);
}

/** @returns what a process has resident once it has settled, and what it had at most, in MB */
async function residentOf(
  args: readonly string[],
  settled: () => Promise<unknown>,
): Promise<readonly [steady: number, largest: number]> {
  const child: ChildProcess = spawn(process.execPath, args, {
    env: { ...benchEnvironment, NODE_OPTIONS: nodeOptions },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    await settled();
    const text = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const megabytes = (field: string) =>
      Math.round(Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1]) / 1000);
    return [megabytes('VmRSS'), megabytes('VmHWM')];
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}
