import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { isSameRepository } from '../../src/reconcile/root-identity.ts';
import {
  deploy,
  filesLockedAt,
  filesServed,
  readEvents,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { createDatabase } from '../support/postgres.ts';
import { gitEnvironment } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

async function createConvergedRing(t: TestContext) {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'root');
  assert.equal((await reconcileOnce({ repo, root })).code, 0);
  return { platform, repo, root };
}

/** What the audit says of acts on the root itself, oldest first. */
function acts(root: string): Record<string, unknown>[] {
  return readEvents(root)
    .filter(({ action }) => action === 'operator')
    .map(({ detail }) => detail as Record<string, unknown>);
}

describe('a root used with another branch', () => {
  it('is refused with both named unless the commit descends, and goes on with --adopt, audited', async (t) => {
    const { platform, repo, root } = await createConvergedRing(t);
    const fork = platform.git('rev-parse', 'HEAD');
    // No module changes: only what was converged last tells that the root has gone on.
    const last = deploy(platform, 'Nothing of the ring');
    assert.equal((await reconcileOnce({ repo, root })).code, 0);
    const served = filesServed(root);
    platform.git('checkout', '-q', '-b', 'release', fork);
    release(platform, 'Orders', '1.0.1');
    const other = deploy(platform, 'Orders 1.0.1');
    rmSync(join(root, 'status.json'));
    const refused = await reconcileOnce({ repo, root }, ['--branch', 'release']);
    assert.equal(refused.code, 1, refused.stderr);
    const where = 'the commit that this root is at, on';
    const says = `release is at ${other}, which does not descend from ${last}, ${where} main`;
    assert.ok(refused.stdout.includes(says), refused.stdout);
    assert.match(refused.stdout, /--adopt/);
    assert.deepEqual(filesServed(root), served);
    assert.deepEqual(acts(root), []);
    const adopted = await reconcileOnce({ repo, root }, ['--branch', 'release', '--adopt']);
    assert.equal(adopted.code, 0, adopted.stderr);
    assert.deepEqual(filesServed(root), filesLockedAt(platform, other, 'canary'));
    assert.match(String(acts(root)[0]?.['message']), /--adopt says/);
    // It is release's root from now on: main, where it was before, is another branch.
    assert.equal((await reconcileOnce({ repo, root }, ['--branch', 'release'])).code, 0);
    const back = await reconcileOnce({ repo, root });
    assert.equal(back.code, 1);
    const saysBack = `main is at ${last}, which does not descend from ${other}, ${where} release`;
    assert.ok(back.stdout.includes(saysBack), back.stdout);
    assert.equal(acts(root).length, 1);
  });

  it('is refused by what the ring remembers, on a fresh disk too', async (t) => {
    const environment = { DATABASE_URL: await createDatabase() };
    const platform = createPlatform(t);
    const repo = platform.addRemote(t);
    const fork = platform.git('rev-parse', 'HEAD');
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    const first = temporaryDirectory(t, 'root');
    assert.equal((await reconcileOnce({ repo, root: first }, [], environment)).code, 0);
    platform.git('checkout', '-q', '-b', 'release', fork);
    deploy(platform, 'Behind the ring');
    const fresh = temporaryDirectory(t, 'root');
    const more = ['--branch', 'release', '--replica', 'second'];
    const refused = await reconcileOnce({ repo, root: fresh }, more, environment);
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stdout, /release is at .* the commit that this ring is at, on main/);
  });
});

describe('a root used with another repository', () => {
  it('goes on where that descends, said once, and is refused where it does not', async (t) => {
    const { platform, repo, root } = await createConvergedRing(t);
    const mirror = join(temporaryDirectory(t, 'mirror'), 'platform.git');
    execFileSync('git', ['clone', '-q', '--bare', repo, mirror], { env: gitEnvironment });
    platform.git('remote', 'set-url', 'origin', mirror);
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    for (const repository of [mirror, mirror, `${mirror}/`]) {
      const { code, stderr } = await reconcileOnce({ repo: repository, root });
      assert.equal(code, 0, stderr);
    }
    assert.deepEqual(filesServed(root), filesLockedAt(platform, commit, 'canary'));
    assert.deepEqual(
      acts(root).map((act) => act['to_repository']),
      [mirror],
    );
    const unrelated = createPlatform(t, { rings: ['canary'] });
    unrelated.commit('Another history');
    rmSync(join(root, 'status.json'));
    const refused = await reconcileOnce({ repo: unrelated.path, root });
    assert.equal(refused.code, 1, refused.stderr);
    assert.ok(refused.stdout.includes(`main of ${unrelated.path} is at`), refused.stdout);
    assert.ok(
      refused.stdout.includes(`${commit}, the commit that this root is at, on main of ${mirror}`),
    );
    assert.deepEqual(filesServed(root), filesLockedAt(platform, commit, 'canary'));
  });

  it('is the same repository when its address is only written differently', () => {
    const plain = 'https://git.example.com/platform';
    for (const same of [
      'https://user:word@git.example.com/platform.git',
      'https://GIT.example.com:443/platform.git/',
      'https://git.example.com/platform?token=word',
    ]) {
      assert.ok(isSameRepository(plain, same), same);
    }
    assert.ok(isSameRepository('/srv/platform', 'file:///srv/platform/.git'));
    for (const other of [`${plain}2`, 'https://git.example.com/Platform', '/srv/platform']) {
      assert.ok(!isSameRepository(plain, other), other);
    }
  });
});

describe('a root used for another ring', () => {
  it('is refused with both named, and taken over with --adopt, audited', async (t) => {
    const { repo, root } = await createConvergedRing(t);
    const refused = await reconcileOnce({ repo, root, ring: 'edge' });
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /a root of the ring canary, this reconciler is one of edge/);
    assert.equal(readStatusFile(root).state, 'converged');
    const adopted = await reconcileOnce({ repo, root, ring: 'edge' }, ['--adopt']);
    assert.equal(adopted.code, 0, adopted.stderr);
    assert.equal(acts(root).length, 1);
    assert.ok(existsSync(join(root, 'damaged')), 'what canary remembered is kept');
    assert.equal((await reconcileOnce({ repo, root, ring: 'edge' })).code, 0);
    assert.equal((await reconcileOnce({ repo, root })).code, 1);
  });
});
