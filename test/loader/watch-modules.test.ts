import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type LoadedModules,
  loadModules,
  type WatchOptions,
  watchModules,
} from '../../src/index.ts';
import { deploy, openTestRoot } from '../store/support.ts';
import { onEnd } from '../support/cleanup.ts';
import { errorOf } from '../support/error-of.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { orders1, orders2, products } from './made-modules.ts';

/** A root at generation 1, and how a test ends its watches. */
async function watchedRoot(t: TestContext) {
  const root = await openTestRoot(t);
  await deploy(root, orders1, products);
  const ending = new AbortController();
  onEnd(t, () => ending.abort());
  const options: WatchOptions = { signal: ending.signal, intervalMs: 20 };
  return { root, ending, options };
}

const never = 3_600_000;

test('gives the present generation first, then each switch, and none twice', async (t) => {
  const { root, options } = await watchedRoot(t);
  const taken: LoadedModules[] = [];
  const watch = await watchModules(root.path, (modules) => void taken.push(modules), options);
  assert.equal(taken.length, 1);
  await deploy(root, orders2, products);
  await waitUntil('the switch is seen', () => taken.length === 2);
  await deploy(root, orders1, products);
  await waitUntil('the switch back is seen', () => taken.length === 3);
  // The link is made anew, to the same generation.
  await root.switchTo({ number: 3, path: join(root.path, 'generations/000003') });
  assert.equal((await watch.look()).generation, 3);
  assert.deepEqual(
    taken.map(({ generation, modules }) => [generation, modules[1]?.version]),
    [
      [1, '1.0.0'],
      [2, '1.1.0'],
      [3, '1.0.0'],
    ],
  );
  assert.equal(watch.modules, taken[2]);
});

test('look() answers once the application has taken over what the root serves', async (t) => {
  const { root, options } = await watchedRoot(t);
  const took: number[] = [];
  const slowly = async ({ generation }: LoadedModules) => {
    await delay(30);
    took.push(generation);
  };
  const watch = await watchModules(root.path, slowly, { ...options, intervalMs: never });
  await deploy(root, orders2, products);
  const first = watch.look();
  await deploy(root, orders1, products);
  // Asked for after the second switch: a look that began before it is not enough.
  const [, second, third] = await Promise.all([first, watch.look(), watch.look()]);
  assert.equal(second.generation, 3);
  assert.equal(third.generation, 3);
  assert.equal(took.at(-1), 3);
  assert.equal(new Set(took).size, took.length, 'no generation is taken twice');
});

test('what the application cannot take is told once and tried again, and the one before stays', async (t) => {
  const { root, options } = await watchedRoot(t);
  const errors: string[] = [];
  let isBroken = false;
  let calls = 0;
  const take = () => {
    calls++;
    if (isBroken) throw new Error('a module does not load');
  };
  const onError = (error: unknown) => void errors.push(String(error));
  const watch = await watchModules(root.path, take, { ...options, onError });
  isBroken = true;
  await deploy(root, orders2, products);
  await waitUntil('it was tried again', () => calls >= 4);
  await assert.rejects(watch.look(), /a module does not load/);
  assert.deepEqual(errors, ['Error: a module does not load']);
  assert.equal(watch.modules.generation, 1);
  isBroken = false;
  await waitUntil('it was taken', () => watch.modules.generation === 2);
});

test('a root that goes away is told, and its return is seen', async (t) => {
  const { root, options } = await watchedRoot(t);
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const watch = await watchModules(root.path, () => {}, { ...options, onError });
  const aside = join(root.path, 'aside');
  renameSync(join(root.path, 'current'), aside);
  await waitUntil('it is told', () => errors.length === 1);
  assert.equal((errors[0] as { code: string }).code, 'no-generation');
  renameSync(aside, join(root.path, 'current'));
  assert.equal((await watch.look()).generation, 1);
});

test('a signal of the process has it look at once, until the watch is ended', async (t) => {
  const { root, ending, options } = await watchedRoot(t);
  const taken: number[] = [];
  await watchModules(root.path, ({ generation }) => void taken.push(generation), {
    ...options,
    intervalMs: never,
    processSignal: 'SIGUSR2',
  });
  await deploy(root, orders2, products);
  process.kill(process.pid, 'SIGUSR2');
  await waitUntil('the signal is heeded', () => taken.at(-1) === 2);
  ending.abort();
  assert.equal(process.listenerCount('SIGUSR2'), 0);
});

test('an ended watch looks no more, and one that has not begun begins nothing', async (t) => {
  const { root, ending, options } = await watchedRoot(t);
  const taken: number[] = [];
  const take = ({ generation }: LoadedModules) => void taken.push(generation);
  const watch = await watchModules(root.path, take, options);
  ending.abort();
  await deploy(root, orders2, products);
  await delay(60);
  assert.equal((await watch.look()).generation, 1);
  assert.deepEqual(taken, [1]);
  await assert.rejects(watchModules(root.path, take, options), { name: 'AbortError' });
  assert.equal(
    (await errorOf(watchModules(root.path, take, { intervalMs: 0 }))).code,
    'invalid-interval',
  );
  const empty = temporaryDirectory(t);
  assert.equal((await errorOf(watchModules(empty, take))).code, 'no-generation');
  assert.deepEqual(taken, [1]);
});

test('a watch keeps no process alive', async (t) => {
  const { root } = await watchedRoot(t);
  const script = `import { watchModules } from 'ringlock';
const watch = await watchModules(process.argv[1], () => {});
console.log(watch.modules.generation);`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', script, root.path],
    { encoding: 'utf8', timeout: 20_000, cwd: join(import.meta.dirname, '../..') },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `${(await loadModules(root.path)).generation}\n`);
});
