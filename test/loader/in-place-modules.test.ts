import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RinglockError } from '../../src/errors.ts';
import { loadModules } from '../../src/index.ts';
import { fileSystems } from '../store/in-place-support.ts';
import { deploy, openTestRoot, rootDirectory } from '../store/support.ts';
import { errorOf } from '../support/error-of.ts';
import { moduleOf, orders1, orders2, products } from './made-modules.ts';

const products2 = moduleOf('products', '1.1.0');

test('at every step of a switch in place a view is of one generation, or says that it has to wait', async (t) => {
  const directory = fileSystems.usualDisk(t);
  const path = rootDirectory(t);
  const seen = new Map<string, number>();
  let isLooking = false;
  const look = async () => {
    const found = await loadModules(path, { modulesDirectory: directory, timeoutMs: 0 }).catch(
      (error: unknown) => error,
    );
    if (found instanceof RinglockError) return found.code;
    const { generation, modules } = found as Awaited<ReturnType<typeof loadModules>>;
    const versions = modules.map((module) => {
      assert.equal(
        module.path,
        join(directory, `${module.alias[0]?.toUpperCase()}${module.alias.slice(1)}`),
      );
      assert.equal(readFileSync(join(module.path, 'src/version.txt'), 'utf8'), module.version);
      return module.version;
    });
    return `${generation}: ${versions.join(' ')}`;
  };
  const fault = async () => {
    if (!isLooking) return;
    const found = await look();
    seen.set(found, (seen.get(found) ?? 0) + 1);
  };
  const root = await openTestRoot(t, { path, inPlace: directory, fault });
  await deploy(root, orders1, products);
  isLooking = true;
  await deploy(root, orders2, products2);
  isLooking = false;
  assert.deepEqual([...seen.keys()].sort(), [
    '1: 1.0.0 1.0.0',
    '2: 1.1.0 1.1.0',
    'modules-dir-switching',
  ]);
  assert.equal(await look(), '2: 1.1.0 1.1.0');
});

test('waits for a switch to end, and reads what it led to', async (t) => {
  const directory = fileSystems.usualDisk(t);
  const path = rootDirectory(t);
  const loaded: Promise<string>[] = [];
  const fault = (point: string) => {
    if (point !== 'switch current' || loaded.length > 1) return;
    const loading = loadModules(path, { modulesDirectory: directory });
    // At the first switch there is no `current` yet.
    loaded.push(
      loading.then(
        ({ generation }) => String(generation),
        ({ code }) => code,
      ),
    );
  };
  const root = await openTestRoot(t, { path, inPlace: directory, fault });
  await deploy(root, orders1, products);
  await deploy(root, orders2, products);
  const [first, second] = await Promise.all(loaded);
  assert.match(first ?? '', /^(1|2|no-generation)$/);
  assert.equal(second, '2');
});

test('says that a modules directory is not the root’s yet, or that its state is damaged', async (t) => {
  const directory = fileSystems.usualDisk(t, orders1);
  const root = await openTestRoot(t);
  await deploy(root, orders1, products);
  const options = { modulesDirectory: directory, timeoutMs: 0 };
  const baked = await errorOf(loadModules(root.path, options));
  assert.equal(baked.code, 'modules-dir-switching');
  assert.match(baked.message, /is not generation 1: orders 1\.0\.0 is not in Orders yet/);
  await root.close();
  const kept = await openTestRoot(t, { path: root.path, inPlace: directory });
  await deploy(kept, orders1, products);
  assert.equal((await loadModules(root.path, options)).modules.length, 2);
  const file = join(directory, '.ringlock/state.json');
  const state = readFileSync(file, 'utf8');
  const [placed] = Object.values<object>(JSON.parse(state).modules);
  const moves = [{ directory: 'Orders', before: null, after: placed }];
  const pending = { id: 'again', from: 2, to: 2, moves };
  writeFileSync(file, JSON.stringify({ ...JSON.parse(state), pending }));
  assert.equal((await errorOf(loadModules(root.path, options))).code, 'modules-dir-switching');
  writeFileSync(file, state);
  rmSync(join(directory, 'Products/module.json'));
  assert.equal((await errorOf(loadModules(root.path, options))).code, 'module-missing');
  writeFileSync(file, '{');
  assert.equal((await errorOf(loadModules(root.path, options))).code, 'modules-dir-state-damaged');
  const gone = { ...options, modulesDirectory: `${directory}.gone` };
  assert.equal((await errorOf(loadModules(root.path, gone))).code, 'disk-failed');
});

test('modules that are replaced while they are read are not taken for one generation', async (t) => {
  const directory = fileSystems.usualDisk(t);
  const root = await openTestRoot(t, { inPlace: directory });
  await deploy(root, orders1, products);
  const manifest = join(directory, 'Orders/module.json');
  const text = readFileSync(manifest);
  // Whoever reads a pipe waits for its writer.
  unlinkSync(manifest);
  execFileSync('mkfifo', [manifest]);
  const loading = loadModules(root.path, { modulesDirectory: directory, timeoutMs: 0 });
  const writer = await open(manifest, 'w');
  const file = join(directory, '.ringlock/state.json');
  const state = JSON.parse(readFileSync(file, 'utf8'));
  const pending = { id: 'next', from: 1, to: 2, moves: [] };
  writeFileSync(file, JSON.stringify({ ...state, pending }));
  await writer.writeFile(text);
  await writer.close();
  const error = await errorOf(loading);
  assert.equal(error.code, 'modules-dir-switching');
  assert.match(error.message, /modules were replaced while it was read/);
});
