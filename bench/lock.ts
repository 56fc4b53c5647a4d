import { execFileSync } from 'node:child_process';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { benchEnvironment, moduleName } from './support/platform-repository.ts';

/** One measurement against its floor, both medians in milliseconds. */
export interface LockMeasurement {
  readonly what: string;
  readonly floor: string;
  readonly milliseconds: number;
  readonly floorMilliseconds: number;
  /** The ratio that is aimed at. */
  readonly target: number;
}

const cli = join(import.meta.dirname, '../dist/cli.js');

/**
 * Measures `lock` with nothing cached, and `lock --check --staged` with one changed module.
 *
 * @param repository made by makePlatformRepository(); its locks are written, and a module changed
 */
export function measureLock(repository: string, rounds = 7): LockMeasurement[] {
  const ringlock = (...args: string[]) => run(repository, process.execPath, [cli, ...args]);
  const cache = join(repository, '.git/ringlock');
  ringlock('lock');
  run(repository, 'git', ['add', '-A']);
  run(repository, 'git', ['commit', '-qm', 'Lock', '--no-verify']);
  const cold = median(
    rounds,
    () => ringlock('lock'),
    () => rmSync(cache, { recursive: true, force: true }),
  );
  const sums = median(rounds, () =>
    run(repository, 'sh', ['-c', 'find modules -type f -print0 | xargs -0 sha256sum']),
  );
  let round = 0;
  const changeOne = () => {
    round += 1;
    const file = `modules/${moduleName(7)}/src/part1/file1.php`;
    appendFileSync(join(repository, file), `changed ${round}\n`);
    run(repository, 'git', ['add', file]);
    ringlock('lock', '--staged');
    run(repository, 'git', ['add', '-A']);
    appendFileSync(join(repository, file), `changed again ${round}\n`);
    run(repository, 'git', ['add', file]);
  };
  const check = median(
    rounds,
    () => tolerate(() => ringlock('lock', '--check', '--staged')),
    changeOne,
  );
  const status = median(rounds, () => run(repository, 'git', ['status', '--short']));
  return [
    {
      what: 'lock, cold, 10,000 files',
      floor: 'xargs sha256sum of the same files',
      milliseconds: cold,
      floorMilliseconds: sums,
      target: 1.5,
    },
    {
      what: 'lock --check of the index, one changed module',
      floor: 'git status',
      milliseconds: check,
      floorMilliseconds: status,
      target: 2,
    },
  ];
}

function median(rounds: number, measured: () => void, before: () => void = () => {}): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    before();
    const start = performance.now();
    measured();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN;
}

function run(cwd: string, command: string, args: readonly string[]): void {
  execFileSync(command, args, {
    cwd,
    env: benchEnvironment,
    stdio: ['ignore', 'ignore', 'inherit'],
    maxBuffer: 1 << 26,
  });
}

/** A check that finds something exits 1, which is what is measured here. */
function tolerate(action: () => void): void {
  try {
    action();
  } catch (error) {
    if ((error as { status?: number }).status !== 1) throw error;
  }
}
