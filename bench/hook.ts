import { execFileSync } from 'node:child_process';
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchEnvironment, moduleName } from './support/platform-repository.ts';

/** One measurement against its floor, both medians in milliseconds. */
export interface HookMeasurement {
  readonly what: string;
  readonly floor: string;
  readonly milliseconds: number;
  readonly floorMilliseconds: number;
  /** The ratio that is aimed at. */
  readonly target: number;
}

const cli = join(import.meta.dirname, '../dist/cli.js');

/**
 * Measures a commit that touches no module, with and without hooks, and the pre-commit hook with
 * one changed module against `git status`.
 *
 * @param repository made by makePlatformRepository(); hooks are installed and commits made in it
 */
export function measureHooks(repository: string, rounds = 9): HookMeasurement[] {
  const git = (...args: string[]) => run(repository, 'git', args);
  const ringlock = (...args: string[]) => run(repository, process.execPath, [cli, ...args]);
  ringlock('lock');
  git('add', '-A');
  git('commit', '-q', '--allow-empty', '-m', 'Lock', '--no-verify');
  ringlock('hooks', 'install');
  let round = 0;
  const editDocs = () => {
    round += 1;
    writeFileSync(join(repository, 'README.md'), `round ${round}\n`);
    git('add', 'README.md');
  };
  // --no-verify would still run post-commit.
  const none = ['-c', 'core.hooksPath=/dev/null'];
  const without = median(rounds, () => git(...none, 'commit', '-qm', 'Docs'), editDocs);
  const untouched = median(rounds, () => git('commit', '-qm', 'Docs'), editDocs);
  const changeOne = () => {
    round += 1;
    const directory = `modules/${moduleName(7)}`;
    appendFileSync(join(repository, directory, 'src/part1/file1.php'), `// round ${round}\n`);
    ringlock('bump', moduleName(7), 'patch');
    git('add', '-A');
  };
  const withModule = median(rounds, () => ringlock('hook', 'pre-commit'), changeOne);
  const status = median(rounds, () => git('status', '--short'));
  git('commit', '-qm', 'Module');
  const cold = median(
    3,
    () => ringlock('hook', 'pre-commit'),
    () => rmSync(join(repository, '.git/ringlock'), { recursive: true, force: true }),
  );
  return [
    {
      what: 'git commit, hooks in place, no module touched',
      floor: 'git commit without hooks',
      milliseconds: untouched,
      floorMilliseconds: without,
      target: 2,
    },
    {
      what: 'pre-commit, one changed module, 10,000 files',
      floor: 'git status',
      milliseconds: withModule,
      floorMilliseconds: status,
      target: 2,
    },
    {
      what: 'pre-commit, nothing cached, 10,000 files',
      floor: 'git status',
      milliseconds: cold,
      floorMilliseconds: status,
      target: Number.NaN,
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
  });
}
