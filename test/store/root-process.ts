/**
 * A process that works on a root as a reconciler does: `root-process PATH KILL_AT|hold|churn N`.
 * Bundled by startRootProcess(), since tsx takes half a second for each of many starts.
 */
import { openRoot } from '../../src/store/root.ts';
import { deploy, filesOf, lockOf, makeModule } from './support.ts';

export const orders1 = makeModule('orders', '1.0.0', { 'module.json': '1', 'src/a.php': 'one' });
export const orders2 = makeModule('orders', '2.0.0', { 'module.json': '2', 'src/a.php': 'two' });
export const products = makeModule('products', '1.0.0');

const [path, mode] = process.argv.slice(2);
if (path !== undefined && mode !== undefined) await run(path, mode);

async function run(path: string, mode: string): Promise<void> {
  let calls = 0;
  const fault = () => {
    calls++;
    if (calls === Number(mode)) process.kill(process.pid, 'SIGKILL');
  };
  const root = await openRoot({ path, fault, keepGenerations: 1, retainForMs: 0 });
  if (mode === 'hold') {
    process.stdout.write('holding\n');
    setInterval(() => {}, 1000);
    return;
  }
  if (mode === 'churn') {
    for (let turn = 0; turn < 40; turn++) {
      await deploy(root, turn % 2 === 0 ? orders1 : orders2, products);
      process.stdout.write('.');
    }
  } else {
    await deploy(root, orders1, products);
    await root.stage(orders2.pin, filesOf(orders2), 'test');
    const next = await root.buildGeneration(lockOf(orders2), {
      commit: null,
      operationId: 'op',
      repository: null,
      branch: null,
    });
    const operationId = 'op';
    const fromGeneration = 1;
    const toGeneration = next.number;
    await root.journal.append({
      type: 'prepared',
      operationId,
      fromGeneration,
      toGeneration,
      commit: null,
      events: [],
    });
    await root.switchTo(next);
    await root.journal.append({ type: 'switched', operationId });
    await root.journal.append({ type: 'committed', operationId });
    await root.collectGarbage();
    await root.journal.compact(0);
  }
  await root.close();
  process.stdout.write(`${calls}\n`);
}
