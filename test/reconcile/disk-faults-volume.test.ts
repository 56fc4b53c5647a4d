import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { cliPath, runCli } from '../support/cli.ts';
import {
  createRootToDamage,
  expectGoesOn,
  fileContext,
  flipByte,
  type RootToDamage,
  shownGeneration,
} from '../support/damaged-root.ts';
import { filesServed, readStatusFile, reconcileOnce } from '../support/deploy.ts';
import { runAs } from '../support/faulty-cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

/** A volume of its own, or undefined (the test is then skipped, saying why). */
function mountVolume(t: TestContext, megabytes: number): string | undefined {
  const path = temporaryDirectory(t, 'volume');
  try {
    const size = `size=${megabytes}m`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') throw error;
    t.skip('no tmpfs can be mounted here');
    return undefined;
  }
  onEnd(t, () => execFileSync('umount', ['-l', path]));
  return path;
}

/** Takes every last block. */
function fill(volume: string): string {
  const filler = join(volume, 'filler');
  try {
    execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'pipe' });
  } catch {
    return filler;
  }
  throw new Error(`${volume} has no end`);
}

const remount = (volume: string, mode: 'ro' | 'rw') =>
  execFileSync('mount', ['-o', `remount,${mode}`, volume]);

/** Every name below a directory with its modes, size and time. */
const listing = (path: string) =>
  execFileSync('find', [path, '-printf', '%p %m %s %T@ %l\n'], { encoding: 'utf8' });

describe('a volume that cannot be written to', { concurrency: 2 }, () => {
  const file = fileContext();
  let made: RootToDamage;
  before(async () => {
    made = await createRootToDamage(file.context);
  });
  after(file.end);

  const once = (root: string, mode = '--once', ...more: string[]) => {
    const ring = ['--repo', made.laterRepo, '--root', root, '--ring', 'canary'];
    return runCli(dirname(root), ['reconcile', mode, ...ring, ...more]);
  };

  it('serves on while the disk is full, says so, and goes on once there is space', async (t) => {
    const volume = mountVolume(t, 4);
    if (volume === undefined) return;
    const root = made.copy(t, volume);
    const filler = fill(volume);
    const full = await once(root);
    assert.equal(full.code, 3);
    assert.match(full.stderr, /ENOSPC/);
    assert.match(full.stderr, /Free space or enlarge the volume/);
    assert.deepEqual(filesServed(root), made.files.tip);
    const init = await once(root, '--init');
    assert.equal(init.code, 0, init.stderr);
    assert.match(init.stdout, /canary is failed .* generation 2 serves/);
    rmSync(filler);
    await expectGoesOn(made, root);
  });

  it('takes up a commit as soon as a full disk has space, without being started again', async (t) => {
    const volume = mountVolume(t, 4);
    if (volume === undefined) return;
    const root = made.copy(t, volume);
    const repo = join(temporaryDirectory(t, 'repo'), 'platform.git');
    execFileSync('cp', ['-a', made.repo, repo]);
    rmSync(join(root, 'status.json'));
    const watching = startWatching(t, { repo, root }, ['--interval', '100ms']);
    await waitUntil('it has converged', () => existsSync(join(root, 'status.json')));
    const filler = fill(volume);
    execFileSync('git', ['-C', repo, 'fetch', '-q', made.laterRepo, 'main:main']);
    await waitUntil('it says so', () => /code=disk-full/.test(watching.log()));
    assert.deepEqual(filesServed(root), made.files.tip);
    truncateSync(filler, 0);
    await waitUntil('it converges', () => readStatusFile(root).converged_commit === made.laterTip);
    assert.equal(await watching.end('SIGTERM'), 0, watching.log());
    assert.deepEqual(filesServed(root), made.files.later);
    await expectGoesOn(made, root);
  });

  it('changes nothing on a read-only volume: a pass is refused, an init container may start', async (t) => {
    const volume = mountVolume(t, 16);
    if (volume === undefined) return;
    const root = made.copy(t, volume);
    remount(volume, 'ro');
    const before = listing(volume);
    for (const more of [[], ['--repair']]) {
      const refusal = await once(root, '--once', ...more);
      assert.equal(refusal.code, 3);
      assert.match(refusal.stderr, /EROFS/);
      assert.match(refusal.stderr, /Mount the volume writable for this process/);
      const init = await once(root, '--init', ...more);
      assert.equal(init.code, 0, init.stderr);
      assert.match(init.stdout, /canary is failed at \w+, generation 2 serves: .*EROFS/);
      assert.match(init.stderr, /what to do: Mount the volume writable/);
    }
    assert.equal(listing(volume), before);
    assert.deepEqual(filesServed(root), made.files.tip);
    remount(volume, 'rw');
    await expectGoesOn(made, root);
  });

  it('lets no init container start on a read-only volume with damaged modules', async (t) => {
    const volume = mountVolume(t, 16);
    if (volume === undefined) return;
    const root = made.copy(t, volume);
    flipByte(join(shownGeneration(root), 'Orders/CHANGELOG.md'), 3);
    remount(volume, 'ro');
    const init = await once(root, '--init');
    assert.equal(init.code, 3);
    assert.match(init.stderr, /generation 2 does not serve either: Orders is not sha256:/);
    remount(volume, 'rw');
    await expectGoesOn(made, root);
  });
});

describe('a root that another user owns', { concurrency: 2 }, () => {
  const skip = process.getuid?.() !== 0 && 'only root can become another user';
  const nobody = 65534;
  const file = fileContext();
  let made: RootToDamage;
  let program = '';
  before(async () => {
    made = await createRootToDamage(file.context);
    // Where any user may read it.
    const open = temporaryDirectory(file.context, 'program');
    cpSync(dirname(cliPath), join(open, 'dist'), { recursive: true });
    program = join(open, 'dist/cli.js');
    for (const path of [open, dirname(made.laterRepo)]) {
      execFileSync('chmod', ['-R', 'a+rX', path]);
    }
  });
  after(file.end);

  const takenAway: Readonly<Record<string, (root: string) => void>> = {
    'the root': (root) => chmodSync(root, 0o555),
    'the claims': (root) => chmodSync(join(root, 'owner'), 0o555),
    'the audit': (root) => execFileSync('chmod', ['-R', 'a-w', join(root, 'audit')]),
    'repo.git': (root) => execFileSync('chmod', ['-R', 'a-w', join(root, 'repo.git')]),
    'the version store': (root) => execFileSync('chmod', ['-R', 'a-w', join(root, 'versions')]),
    'the generations': (root) => chmodSync(join(root, 'generations'), 0o555),
  };
  for (const [what, takeAway] of Object.entries(takenAway)) {
    it(`is refused with a word on permissions when ${what} cannot be written to`, {
      skip,
    }, async (t) => {
      const parent = temporaryDirectory(t, 'nobody');
      chmodSync(parent, 0o755);
      const root = made.copy(t, parent);
      execFileSync('chown', ['-R', `${nobody}:${nobody}`, root]);
      takeAway(root);
      const ring = ['--repo', made.laterRepo, '--root', root, '--ring', 'canary'];
      const refusal = await runAs(nobody, '/', ['reconcile', '--once', ...ring], program);
      assert.equal(refusal.code, 3, refusal.stderr);
      assert.match(refusal.stderr + refusal.stdout, /EACCES/);
      assert.match(refusal.stderr + refusal.stdout, /Give this process’s user the directory/);
      assert.deepEqual(filesServed(root), made.files.tip);
      const init = await runAs(nobody, '/', ['reconcile', '--init', ...ring], program);
      assert.equal(init.code, 0, init.stderr);
      execFileSync('chmod', ['-R', 'u+w', root]);
      const { code, stderr } = await runAs(nobody, '/', ['reconcile', '--once', ...ring], program);
      assert.equal(code, 0, stderr);
      await expectGoesOn(made, root);
    });
  }

  it('stages again what it may not read', { skip }, async (t) => {
    const parent = temporaryDirectory(t, 'nobody');
    chmodSync(parent, 0o755);
    const root = made.copy(t, parent);
    execFileSync('chown', ['-R', `${nobody}:${nobody}`, root]);
    chmodSync(join(shownGeneration(root), 'Orders/src'), 0o000);
    const ring = ['--repo', made.repo, '--root', root, '--ring', 'canary'];
    execFileSync('chmod', ['-R', 'a+rX', made.repo]);
    const { code, stderr } = await runAs(nobody, '/', ['reconcile', '--once', ...ring], program);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /orders drifted: it cannot be read: EACCES/);
    assert.deepEqual(filesServed(root), made.files.tip);
    assert.equal((await reconcileOnce({ repo: made.laterRepo, root })).code, 0);
  });
});
