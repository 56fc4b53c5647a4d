import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  createRootToDamage,
  eventIds,
  expectGoesOn,
  fileContext,
  flipByte,
  namesBelow,
  type RootToDamage,
  shownGeneration,
} from '../support/damaged-root.ts';
import { filesServed, readStatusFile, reconcileOnce } from '../support/deploy.ts';
import { withClock } from '../support/faulty-cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

const day = 24 * 3600 * 1000;

describe('a clock that jumps back', { concurrency: 2 }, () => {
  const file = fileContext();
  let made: RootToDamage;
  before(async () => {
    made = await createRootToDamage(file.context);
  });
  after(file.end);

  it('by a day between two runs stops nothing and loses nothing', async (t) => {
    const root = made.copy(t);
    const clock = join(root, '../clock');
    writeFileSync(clock, String(-day));
    const generations = namesBelow(root, 'generations');
    const behind = await reconcileOnce({ repo: made.laterRepo, root }, [], withClock(clock));
    assert.equal(behind.code, 0, behind.stderr);
    assert.deepEqual(filesServed(root), made.files.later);
    await eventIds(root); // whose times have to ascend
    await expectGoesOn(made, root);
    const left = namesBelow(root, 'generations');
    assert.ok(
      generations.every((name) => left.includes(name)),
      'a generation is gone',
    );
  });

  it('by a day while it watches stops neither the converging nor the checking', async (t) => {
    const root = made.copy(t);
    const clock = join(root, '../clock');
    writeFileSync(clock, '0');
    const repo = join(temporaryDirectory(t, 'repo'), 'platform.git');
    execFileSync('cp', ['-a', made.repo, repo]);
    const often = ['--interval', '100ms', '--content-check', '300ms'];
    const watching = startWatching(t, { repo, root }, often, withClock(clock));
    const restaged = (what: string, times: number) =>
      waitUntil(what, () => watching.log().split('was changed').length > times);
    flipByte(join(shownGeneration(root), 'Orders/CHANGELOG.md'), 3);
    await restaged('a changed byte is found', 1);
    await waitUntil('it is repaired', () => /converged .*generation=3/.test(watching.log()));
    writeFileSync(clock, String(-day));
    flipByte(join(shownGeneration(root), 'Products/CHANGELOG.md'), 3);
    await restaged('a changed byte is found after the jump', 2);
    execFileSync('git', ['-C', repo, 'fetch', '-q', made.laterRepo, 'main:main']);
    await waitUntil('it converges', () => readStatusFile(root).converged_commit === made.laterTip);
    assert.equal(await watching.end('SIGTERM'), 0, watching.log());
    assert.deepEqual(filesServed(root), made.files.later);
    await expectGoesOn(made, root);
  });
});
