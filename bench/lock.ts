import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchRow, medianMs, ringlock, run, timeRow } from './support/measure.ts';
import { moduleName } from './support/platform-repository.ts';

/**
 * `lock` with nothing cached, and `lock --check --staged` with one changed module.
 *
 * @param repository the large platform; its locks are written, and a module is changed
 */
export async function benchLock(repository: string): Promise<BenchRow[]> {
  const cache = join(repository, '.git/ringlock');
  const forget = () => rmSync(cache, { recursive: true, force: true });
  const cold = await medianMs(7, () => ringlock(repository, 'lock'), forget);
  const sums = await medianMs(7, () =>
    run(repository, 'sh', ['-c', 'find modules -type f -print0 | xargs -0 sha256sum']),
  );
  let round = 0;
  const changeOne = () => {
    round += 1;
    const file = `modules/${moduleName(7)}/src/part1/file1.php`;
    appendFileSync(join(repository, file), `changed ${round}\n`);
    run(repository, 'git', ['add', file]);
    ringlock(repository, 'lock', '--staged');
    appendFileSync(join(repository, file), `changed again ${round}\n`);
    run(repository, 'git', ['add', file]);
  };
  const check = await medianMs(7, () => checkStaleLock(repository), changeOne);
  const status = await medianMs(7, () => run(repository, 'git', ['status', '--short']));
  const node = await medianMs(7, () => run(repository, process.execPath, ['-e', '0']));
  ringlock(repository, 'lock', '--staged');
  const what = 'lock --check of the index, one changed module';
  return [
    timeRow('lock, cold, 10,000 files', cold, ['xargs sha256sum', sums], '≤ 1.5'),
    timeRow(what, check, ['git status', status], '≤ 2'),
    timeRow('the same', check, ['git status and one node start', status + node], ''),
  ];
}

/** The lock is stale, so the check ends with 1. */
function checkStaleLock(repository: string): void {
  try {
    ringlock(repository, 'lock', '--check', '--staged');
  } catch (error) {
    if ((error as { status?: number }).status !== 1) throw error;
  }
}
