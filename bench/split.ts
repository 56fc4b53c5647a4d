import { spawnSync } from 'node:child_process';
import { appendFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type BenchRow, cliPath, medianMs, ringlock, run, timeRow } from './support/measure.ts';
import {
  benchEnvironment,
  makePlatformRepository,
  moduleName,
} from './support/platform-repository.ts';

/**
 * Every module split by `ringlock split`, against one module split by `git subtree split`.
 *
 * @param repository the large platform; a commit is made in it
 */
export async function benchSplit(repository: string): Promise<BenchRow[]> {
  const git = (...args: string[]) => run(repository, 'git', args);
  const forget = () => rmSync(join(repository, '.git/ringlock/split-cache.json'), { force: true });
  const all = () => ringlock(repository, 'split', '--all');
  let startedAt = performance.now();
  all();
  const first = performance.now() - startedAt;
  const kilobytes = peakMemory(repository);
  const cold = await medianMs(3, all, forget);
  const module = `modules/${moduleName(7)}`;
  const warm = await medianMs(3, all, () => {
    appendFileSync(join(repository, module, 'src/part1/file1.php'), '// once more\n');
    git('-c', 'core.hooksPath=/dev/null', 'commit', '-qam', 'Once more');
  });
  startedAt = performance.now();
  git('subtree', 'split', '-q', `--prefix=${module}`);
  const floor = ['git subtree split of one', performance.now() - startedAt] as const;
  const memory = `${Math.round(kilobytes / 1000)} MB`;
  return [
    timeRow('split of every module, all objects written', first, floor, ''),
    timeRow('split of every module, nothing cached', cold, floor, '≤ 0.05'),
    timeRow('split of every module, one new commit', warm, floor, '< 1 s'),
    {
      what: 'memory of a split that reads all',
      measured: memory,
      floor: '',
      ratio: undefined,
      target: '',
    },
  ];
}

/** The same of a history as long as a large platform's: git takes minutes for its one module. */
export async function benchLargeSplit(repository: string): Promise<BenchRow[]> {
  const large = join(dirname(repository), 'long-history');
  const shape = { modules: 61, files: 10_000, commits: 22_815, bytes: 2_000 };
  await makePlatformRepository(large, shape);
  return benchSplit(large);
}

/** The most that one run without a cache holds, in kilobytes. */
function peakMemory(repository: string): number {
  rmSync(join(repository, '.git/ringlock/split-cache.json'), { force: true });
  const say = 'process.on("exit",()=>process.stderr.write(String(process.resourceUsage().maxRSS)))';
  const preload = `data:text/javascript,${encodeURIComponent(say)}`;
  const args = ['--import', preload, cliPath, 'split', '--all'];
  const { stderr } = spawnSync(process.execPath, args, { cwd: repository, env: benchEnvironment });
  return Number(/\d+$/.exec(String(stderr))?.[0]);
}
