import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openObjectDatabase } from '../src/git/object-database.ts';
import { openRemote } from '../src/git/open-remote.ts';
import { openReconciler, type ReconcileOptions } from '../src/reconcile/open-reconciler.ts';
import { startGitServer } from '../test/support/git-server.ts';
import { defaultOptions } from '../test/support/reconcile-options.ts';
import {
  type BenchRow,
  medianMs,
  quantile,
  ringlock,
  run,
  showMs,
  timeRow,
} from './support/measure.ts';
import { moduleName } from './support/platform-repository.ts';

const commits = 30;
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * From a moved ref to a converged root, and a tick on an unchanged branch.
 *
 * @param repository the large platform; commits are made in it
 */
export async function benchConverge(repository: string): Promise<BenchRow[]> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-bench-'));
  const server = await startGitServer(directory);
  const url = `${server.url}/platform.git`;
  try {
    commitLocks(repository);
    run(directory, 'git', ['clone', '-q', '--bare', repository, 'platform.git']);
    return await convergeRows(repository, directory, url);
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function convergeRows(
  repository: string,
  directory: string,
  url: string,
): Promise<BenchRow[]> {
  const opened = await openReconciler(optionsFor(url, join(directory, 'root')), silent);
  const { signal } = new AbortController();
  const pass = async () => {
    const { state, last_error } = await opened.reconciler.reconcile(signal);
    if (state !== 'converged') throw new Error(`${state}: ${last_error?.message}`);
  };
  try {
    const startedAt = performance.now();
    await pass();
    const first = performance.now() - startedAt;
    const times: number[] = [];
    for (let index = 0; index < commits; index++) {
      releaseOne(repository, directory, index);
      const moved = performance.now();
      await pass();
      times.push(performance.now() - moved);
    }
    const tick = await medianMs(30, pass);
    const p99 = `p99 ${showMs(quantile(times, 0.99))} over ${commits} commits`;
    return [
      unfloored('first convergence, 60 modules, 10,000 files', showMs(first), ''),
      unfloored(
        'commit → converged, one module of 60 changed',
        `p50 ${showMs(quantile(times, 0.5))}, ${p99}`,
        'p50 < 300 ms, p99 < 1 s',
      ),
      timeRow('tick on an unchanged branch', tick, ['one ls-refs', await lsRefsMs(url)], '≤ 1.2'),
    ];
  } finally {
    await opened.close();
  }
}

function unfloored(what: string, measured: string, target: string): BenchRow {
  return { what, measured, floor: '', ratio: undefined, target };
}

function commitLocks(repository: string): void {
  ringlock(repository, 'lock');
  run(repository, 'git', ['add', '-A']);
  run(repository, 'git', ['commit', '-q', '--allow-empty', '--no-verify', '-m', 'Lock']);
}

/** Changes one module, bumps and locks it, commits, and moves the served branch. */
function releaseOne(repository: string, directory: string, index: number): void {
  const name = moduleName(index % 40);
  appendFileSync(join(repository, 'modules', name, 'src/part1/file1.php'), `// ${index}\n`);
  ringlock(repository, 'bump', name, 'patch');
  commitLocks(repository);
  run(repository, 'git', [
    'push',
    '-q',
    '--no-verify',
    join(directory, 'platform.git'),
    'HEAD:main',
  ]);
}

async function lsRefsMs(url: string): Promise<number> {
  const database = await openObjectDatabase(mkdtempSync(join(tmpdir(), 'ringlock-bench-')));
  const remote = openRemote(url, database);
  try {
    return await medianMs(30, () => remote.resolveBranch('main'));
  } finally {
    await remote.close();
    rmSync(database.gitdir, { recursive: true, force: true });
  }
}

function optionsFor(repository: string, root: string): ReconcileOptions {
  return { ...defaultOptions, repositories: [repository], ring: 'canary', root };
}
