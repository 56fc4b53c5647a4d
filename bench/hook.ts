import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchRow, medianMs, ringlock, run, timeRow } from './support/measure.ts';
import { moduleName } from './support/platform-repository.ts';

/**
 * A commit that touches no module, with and without hooks, and the pre-commit hook with one changed
 * module.
 *
 * @param repository the large platform with its locks; hooks are installed and commits made in it
 */
export async function benchHook(repository: string): Promise<BenchRow[]> {
  const git = (...args: string[]) => run(repository, 'git', args);
  git('add', '-A');
  git('commit', '-q', '--allow-empty', '-m', 'Lock', '--no-verify');
  ringlock(repository, 'hooks', 'install');
  let round = 0;
  const editDocs = () => {
    round += 1;
    writeFileSync(join(repository, 'README.md'), `round ${round}\n`);
    git('add', 'README.md');
  };
  // --no-verify would still run post-commit.
  const none = ['-c', 'core.hooksPath=/dev/null'];
  const without = await medianMs(9, () => git(...none, 'commit', '-qm', 'Docs'), editDocs);
  const untouched = await medianMs(9, () => git('commit', '-qm', 'Docs'), editDocs);
  const changeOne = () => {
    round += 1;
    const directory = `modules/${moduleName(7)}`;
    appendFileSync(join(repository, directory, 'src/part1/file1.php'), `// round ${round}\n`);
    ringlock(repository, 'bump', moduleName(7), 'patch');
    git('add', '-A');
  };
  const preCommit = () => ringlock(repository, 'hook', 'pre-commit');
  const warm = await medianMs(9, preCommit, changeOne);
  const status = await medianMs(9, () => git('status', '--short'));
  git('commit', '-qm', 'Module');
  const forget = () => rmSync(join(repository, '.git/ringlock'), { recursive: true, force: true });
  const cold = await medianMs(3, preCommit, forget);
  const statusFloor = ['git status', status] as const;
  return [
    timeRow('git commit, no module touched', untouched, ['without hooks', without], '< 150 ms'),
    timeRow('pre-commit, one changed module of 10,000 files', warm, statusFloor, '≤ 2'),
    timeRow('pre-commit, nothing cached', cold, statusFloor, ''),
  ];
}
