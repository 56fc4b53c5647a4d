import { tmpdir } from 'node:os';
import { type BenchRow, medianMs, ringlock, run, timeRow } from './support/measure.ts';

/** What it costs to start the program at all. */
export async function benchStart(): Promise<BenchRow[]> {
  const node = await medianMs(15, () => run(tmpdir(), process.execPath, ['-e', '0']));
  const version = await medianMs(15, () => ringlock(tmpdir(), '--version'));
  return [timeRow('ringlock --version', version, ['node -e 0', node], '≤ 1.3')];
}
