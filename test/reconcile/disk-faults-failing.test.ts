import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  createRootToDamage,
  eventIds,
  expectGoesOn,
  fileContext,
  type RootToDamage,
} from '../support/damaged-root.ts';
import { filesServed, readEvents, readStatusFile, reconcileOnce } from '../support/deploy.ts';
import { withFault } from '../support/faulty-cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

describe('a disk whose calls fail', { concurrency: 2 }, () => {
  const file = fileContext();
  let made: RootToDamage;
  let changingCalls = 0;
  before(async () => {
    made = await createRootToDamage(file.context);
    const root = made.copy(file.context);
    const counter = join(root, '../calls');
    const never = withFault({ code: 'EIO', from: Number.MAX_SAFE_INTEGER }, counter);
    assert.equal((await reconcileOnce({ repo: made.laterRepo, root }, [], never)).code, 0);
    changingCalls = Number(readFileSync(counter, 'utf8'));
  });
  after(file.end);

  for (const [code, count] of [
    ['EIO', 1],
    ['ENOSPC', undefined],
  ] as const) {
    it(`ends in the old or the new generation, whichever call fails with ${code}`, async (t) => {
      assert.ok(changingCalls > 60, `a pass makes ${changingCalls} changing calls`);
      const samples = 4;
      const seen = { old: 0, new: 0 };
      for (let sample = 0; sample < samples; sample++) {
        // From anywhere in its stride, so that every run looks at other calls.
        const from = 1 + Math.floor(((sample + Math.random()) / samples) * changingCalls);
        const what = `call ${from} of ${changingCalls} fails with ${code}`;
        const root = made.copy(t);
        const fault = withFault({ code, from, ...(count !== undefined && { count }) });
        const result = await reconcileOnce({ repo: made.laterRepo, root }, [], fault);
        assert.ok([0, 3].includes(result.code), `${what}: exit ${result.code}\n${result.stderr}`);
        const isOld = same(filesServed(root), made.files.tip);
        assert.ok(isOld || same(filesServed(root), made.files.later), what);
        seen[isOld ? 'old' : 'new'] += 1;
        if (result.code === 3) assert.match(result.stderr + result.stdout, /made to fail/, what);
        await expectGoesOn(made, root);
        const upgrades = readEvents(root).filter(({ to }) => to === '1.2.0');
        assert.equal(upgrades.length, 1, `${what}: events of the upgrade`);
      }
      assert.ok(seen.old > 0, 'no call was early enough to keep the old generation');
    });
  }

  it('takes packs that cannot be listed for no packs that are lost', async (t) => {
    let failed = 0;
    for (let from = 1; from <= 4; from++) {
      const root = made.copy(t);
      const counter = join(root, '../calls');
      const matching = 'readdir .*/repo\\.git/objects/pack$';
      const fault = withFault({ code: 'EIO', matching, from, count: 1 }, counter);
      const { code, stderr } = await reconcileOnce({ repo: made.laterRepo, root }, [], fault);
      if (Number(readFileSync(counter, 'utf8')) < from) break;
      failed += 1;
      assert.ok(code === 0 || code === 3, `listing ${from}: exit ${code}\n${stderr}`);
      if (code === 3) assert.match(stderr, /made to fail, readdir/);
      await expectGoesOn(made, root);
    }
    assert.ok(failed > 1, `packs are listed ${failed} times`);
  });

  it('goes on watching while the journal cannot be written after a switch, and loses no event', async (t) => {
    const root = made.copy(t);
    // prepared is written; switched, and what a next pass tries, is not, four times.
    const fault = { code: 'ENOSPC', matching: 'open .*/journal\\.jsonl$', from: 2, count: 4 };
    const ring = { repo: made.laterRepo, root };
    const watching = startWatching(t, ring, ['--interval', '100ms'], withFault(fault));
    await waitUntil('it converges', () => readStatusFile(root).converged_commit === made.laterTip);
    assert.match(watching.log(), /disk-full/);
    assert.match(watching.log(), /what to do: Free space or enlarge the volume/);
    assert.equal(await watching.end('SIGTERM'), 0, watching.log());
    assert.deepEqual(filesServed(root), made.files.later);
    assert.equal(readEvents(root).filter(({ to }) => to === '1.2.0').length, 1);
    assert.ok((await eventIds(root)).length > made.events.length);
  });

  it('goes on watching while status.json cannot be written', async (t) => {
    const root = made.copy(t);
    const repo = join(temporaryDirectory(t, 'repo'), 'platform.git');
    execFileSync('cp', ['-a', made.repo, repo]);
    const fault = { code: 'EIO', matching: 'open .*status\\.json', from: 1, count: 6 };
    const watching = startWatching(t, { repo, root }, ['--interval', '50ms'], withFault(fault));
    await waitUntil('it says so', () => /status\.json is out of date/.test(watching.log()));
    execFileSync('git', ['-C', repo, 'fetch', '-q', made.laterRepo, 'main:main']);
    await waitUntil('it converges', () => readStatusFile(root).converged_commit === made.laterTip);
    assert.equal(await watching.end('SIGTERM'), 0, watching.log());
    assert.deepEqual(filesServed(root), made.files.later);
  });

  it('stages a module again whose bytes the disk does not give back', async (t) => {
    const root = made.copy(t);
    const fault = { code: 'EIO', matching: 'read .*/versions/orders/1\\.1\\.0-\\w+/', from: 1 };
    const result = await reconcileOnce({ repo: made.repo, root }, [], withFault(fault));
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stderr, /orders drifted: it cannot be read: EIO/);
    assert.deepEqual(filesServed(root), made.files.tip);
    await expectGoesOn(made, root);
  });

  it('says what to do about a failing disk, and serves on', async (t) => {
    const root = made.copy(t);
    const fault = { code: 'EIO', matching: 'sync .*/staging/', from: 1 };
    const result = await reconcileOnce({ repo: made.laterRepo, root }, [], withFault(fault));
    assert.equal(result.code, 3);
    assert.match(result.stdout, /generation \d+ serves: .*EIO/);
    assert.match(result.stdout, /look at dmesg and replace the volume/);
    assert.equal(readStatusFile(root).last_error?.code, 'disk-failed');
    assert.deepEqual(filesServed(root), made.files.tip);
    await expectGoesOn(made, root);
  });
});
