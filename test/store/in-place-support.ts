import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { digestTree, removeTree } from '../../src/store/module-tree.ts';
import { openRoot, type Root } from '../../src/store/root.ts';
import { onEnd } from '../support/cleanup.ts';
import { mountOverlay, mountTmpfs } from '../support/mount.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import {
  deploy,
  facts,
  filesOf,
  lockOf,
  type MadeModule,
  makeModule,
  rootDirectory,
} from './support.ts';

export const orders1 = makeModule('orders', '1.0.0', {
  'module.json': '1',
  'src/deep/a.php': 'one',
  'run.sh': '#!/bin/sh',
});
export const orders2 = makeModule('orders', '2.0.0', { 'module.json': '2', 'src/b.php': 'two' });
export const products = makeModule('products', '1.0.0', { 'module.json': '1', 'p.php': 'p' });
export const mobile = makeModule('mobile', '1.0.0', { 'module.json': '1', 'm.php': 'm' });
export const dark1 = makeModule('dark', '1.0.0', { 'theme.css': 'x' }, 'themes/Dark');
export const dark2 = makeModule('dark', '2.0.0', { 'theme.css': 'y' }, 'themes/Dark');
/** What an image bakes: orders as it was long ago, products as locked. */
export const bakedOrders = makeModule('orders', '0.9.0', {
  'module.json': '0',
  'src/deep/a.php': 'zero',
  'old/b.php': 'old',
});

/** Writes modules as an image has them, with a name that is nobody's module. */
export function bake(directory: string, ...modules: readonly MadeModule[]): void {
  for (const { entry, files } of modules) {
    for (const [path, content] of Object.entries(files)) {
      const file = join(directory, entry.directory ?? '', path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
  }
  mkdirSync(join(directory, 'Foreign'));
  writeFileSync(join(directory, 'Foreign/keep.txt'), 'kept');
  writeFileSync(join(directory, 'bootstrap.php'), 'kept');
}

/** What modules directories are on; each has baked modules in it. */
export const fileSystems = {
  usualDisk: (t: TestContext, ...baked: readonly MadeModule[]): string => {
    const path = temporaryDirectory(t, 'modules');
    onEnd(t, () => removeTree(path));
    bake(path, ...baked);
    return path;
  },
  tmpfs: (t: TestContext, ...baked: readonly MadeModule[]): string | undefined => {
    const path = mountTmpfs(t);
    if (path !== undefined) bake(path, ...baked);
    return path;
  },
  overlayfs: (t: TestContext, ...baked: readonly MadeModule[]): string | undefined =>
    mountOverlay(t, (lower) => bake(lower, ...baked)),
};

/** Directory → content digest, of everything that looks like a module; what links there is named. */
export async function modulesIn(path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const names = readdirSync(path).flatMap((name) =>
    name === 'themes' ? readdirSync(join(path, name)).map((theme) => `themes/${theme}`) : name,
  );
  for (const name of names.sort()) {
    if (['.ringlock', 'bootstrap.php', 'Foreign'].includes(name)) continue;
    const { digest, others } = await digestTree(join(path, name));
    assert.deepEqual(others, [], name);
    found[name] = digest;
  }
  assert.ok(existsSync(join(path, 'Foreign/keep.txt')) && existsSync(join(path, 'bootstrap.php')));
  return found;
}

/** What modulesIn() has to find. */
export function digestsOf(...modules: readonly MadeModule[]): Record<string, string> {
  const pairs = modules.map(({ entry }) => [entry.directory ?? '', entry.sha256] as const);
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Nothing of a switch may be left but what is installed. */
export function assertTidy(path: string): void {
  const names = readdirSync(join(path, '.ringlock')).filter((name) => name !== 'state.json');
  assert.deepEqual(names.sort(), ['owner', 'work']);
  assert.deepEqual(readdirSync(join(path, '.ringlock/work')), []);
}

/** Stages and builds, for a test that switches itself. */
export async function build(root: Root, ...modules: readonly MadeModule[]) {
  for (const module of modules) {
    if (!(await root.hasVersion(module.pin))) await root.stage(module.pin, filesOf(module), 'test');
  }
  return root.buildGeneration(lockOf(...modules), facts);
}

/** Before and after the switch that the sweeps below interrupt: an upgrade, a removal, an install. */
export const before = [bakedOrders, products];
export const after = [orders1, dark1];

/**
 * Roots at generation 1 with generation 2 built, which an operation is about to switch to; each a copy,
 * since to make one takes many fsyncs.
 */
export async function preparedRoots(t: TestContext): Promise<() => string> {
  const template = rootDirectory(t);
  const root = await openRoot({ path: template });
  await deploy(root, ...before);
  const next = await build(root, ...after);
  await root.journal.append({
    type: 'prepared',
    operationId: 'op',
    fromGeneration: 1,
    toGeneration: next.number,
    commit: null,
    events: [],
  });
  await root.close();
  return () => {
    const path = rootDirectory(t);
    execFileSync('cp', ['-a', `${template}/.`, path]);
    return path;
  };
}
