import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  deploy,
  filesBelow,
  filesLockedAt,
  push,
  readEvents,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** What an application reads, without ringlock's own and what is nobody's module. */
function modulesServed(directory: string): Record<string, string> {
  const files = Object.entries(filesBelow(directory));
  return Object.fromEntries(
    files.filter(([path]) => !path.startsWith('.ringlock/') && path !== 'bootstrap.php'),
  );
}

test('keeps the modules of an image as locked: baked, upgraded, reverted, repaired', async (t) => {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'root');
  const app = join(temporaryDirectory(t, 'image'), 'modules');
  cpSync(join(platform.path, 'modules'), app, { recursive: true });
  writeFileSync(join(app, 'bootstrap.php'), 'foreign');
  writeFileSync(join(app, 'MobileApp/module.json'), '{"version": "0.0.1"}');
  const converge = async () => {
    const more = ['--strategy', 'in-place', '--modules-dir', app];
    const { code, stderr } = await reconcileOnce({ repo, root }, more);
    assert.equal(code, 0, stderr);
    assert.equal(readStatusFile(root).state, 'converged');
    assert.deepEqual(modulesServed(app), filesLockedAt(platform, 'HEAD', 'canary'));
    assert.equal(readFileSync(join(app, 'bootstrap.php'), 'utf8'), 'foreign');
  };
  await converge();
  assert.ok(!lstatSync(join(app, 'Orders')).isSymbolicLink());
  const baked = modulesServed(app);

  release(platform, 'Orders', '1.1.0');
  platform.write({ 'modules/MobileApp': null });
  deploy(platform, 'Orders 1.1.0, without the mobile app');
  await converge();
  assert.ok(!existsSync(join(app, 'MobileApp')));

  platform.git('revert', '--no-edit', 'HEAD');
  push(platform, 'HEAD');
  await converge();
  assert.deepEqual(modulesServed(app), baked);

  const file = join(app, 'Orders/CHANGELOG.md');
  chmodSync(file, 0o644);
  appendFileSync(file, 'tampered\n');
  await converge();
  const repair = readEvents(root).find(({ action }) => action === 'repair');
  assert.equal(repair?.['module'], 'orders');
  const { generation } = readStatusFile(root);
  await converge();
  assert.equal(readStatusFile(root).generation, generation, 'a second pass has nothing to do');
});

test('refuses flags that contradict each other, naming the one that is missing', async (t) => {
  const [repo, root] = [temporaryDirectory(t), temporaryDirectory(t, 'root')];
  for (const [more, message] of [
    [['--strategy', 'in-place'], /--strategy is in-place without --modules-dir/],
    [['--modules-dir', root], /--modules-dir is given without --strategy in-place/],
    [['--strategy', 'swap'], /--strategy is "swap", expected generation or in-place/],
    [['--strategy', 'in-place', '--modules-dir', root], /lie one inside the other/],
    [['--strategy', 'in-place', '--modules-dir', '/nowhere'], /\/nowhere is not there/],
  ] as const) {
    const { code, stderr } = await reconcileOnce({ repo, root }, more);
    assert.equal(code, 2);
    assert.match(stderr, message);
  }
});
