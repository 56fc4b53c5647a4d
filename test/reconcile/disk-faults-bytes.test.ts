import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { RinglockError } from '../../src/errors.ts';
import { openLocalRemote } from '../../src/git/local-remote.ts';
import { openObjectDatabase } from '../../src/git/object-database.ts';
import { recoverOperation, restoreLostEvents } from '../../src/reconcile/recover-operation.ts';
import { openRoot } from '../../src/store/root.ts';
import {
  createRootToDamage,
  eventIds,
  expectGoesOn,
  fileContext,
  flipByte,
  packFilesOf,
  type RootToDamage,
} from '../support/damaged-root.ts';
import { filesServed, reconcileOnce } from '../support/deploy.ts';

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

describe('damage at any byte', { concurrency: 2 }, () => {
  const file = fileContext();
  let made: RootToDamage;
  before(async () => {
    made = await createRootToDamage(file.context);
  });
  after(file.end);

  it('of a pack or an index ends with every object there again', async (t) => {
    const root = made.copy(t);
    const gitdir = join(root, 'repo.git');
    const database = await openObjectDatabase(gitdir);
    const { tree } = await database.readCommit(made.tip);
    database.dropCaches();
    for (const path of packFilesOf(root)) {
      const { size } = statSync(path);
      for (let sample = 0; sample < 5; sample++) {
        const at = Math.floor(Math.random() * size);
        const by = 1 + Math.floor(Math.random() * 255);
        const copy = join(mkdtempSync(join(root, '../copy-')), 'repo.git');
        execFileSync('cp', ['-a', gitdir, copy]);
        flipByte(join(copy, 'objects/pack', basename(path)), at, by);
        const what = `${basename(path)}, byte ${at} turned by ${by}`;
        await fetchAgain(copy, made, tree).catch((error: unknown) => {
          throw new Error(`${what}: ${error instanceof Error ? error.stack : error}`);
        });
      }
    }
  });

  it('of a pack or an index is no more than a warning to the program', async (t) => {
    for (let sample = 0; sample < 6; sample++) {
      const root = made.copy(t);
      const all = packFilesOf(root).filter((path) => path.endsWith(sample % 2 ? '.idx' : '.pack'));
      const where = all.map((path) => {
        const at = Math.floor(Math.random() * statSync(path).size);
        flipByte(path, at);
        return `${basename(path)}: ${at}`;
      });
      const { code, stderr } = await reconcileOnce({ repo: made.repo, root });
      assert.equal(code, 0, `${where.join(', ')}\n${stderr}`);
      assert.deepEqual(filesServed(root), made.files.tip);
      await expectGoesOn(made, root);
    }
  });

  it('where the journal is cut off loses neither the generation nor an event', async (t) => {
    const root = made.copy(t);
    const path = join(root, 'journal.jsonl');
    const whole = readFileSync(path);
    for (let cut = 0; cut < whole.length; cut += 41) {
      writeFileSync(path, whole.subarray(0, cut));
      assert.equal(await recover(root), 2, `cut at byte ${cut}`);
      assert.deepEqual(await eventIds(root), made.events, `cut at byte ${cut}`);
    }
    await expectGoesOn(made, root);
  });

  it('of the journal is a torn end, or refused with the way to repair it', async (t) => {
    const root = made.copy(t);
    const path = join(root, 'journal.jsonl');
    const whole = readFileSync(path);
    let refusals = 0;
    for (let at = 0; at < whole.length; at += 97) {
      const bytes = Buffer.from(whole);
      bytes.fill(0, at, at + 30);
      writeFileSync(path, bytes);
      try {
        assert.equal(await recover(root), 2, `zeros at byte ${at}`);
      } catch (error) {
        assert.ok(error instanceof RinglockError, String(error));
        assert.equal(error.code, 'journal-damaged', error.message);
        assert.match(error.hint ?? '', /reconcile --repair/);
        refusals += 1;
      }
      assert.deepEqual(await eventIds(root), made.events, `zeros at byte ${at}`);
    }
    assert.ok(refusals > 10, `${refusals} refusals`);
  });

  it('where the audit is cut off brings every event back from the journal, once', async (t) => {
    const root = made.copy(t);
    const path = join(root, 'audit/journal-000001.jsonl');
    const copy = join(mkdtempSync(join(root, '../copy-')), 'journal');
    copyFileSync(path, copy);
    const { size } = statSync(path);
    for (let cut = 0; cut < size; cut += 61) {
      copyFileSync(copy, path);
      truncateSync(path, cut);
      await recover(root);
      assert.deepEqual(await eventIds(root), made.events, `cut at byte ${cut}`);
    }
    await expectGoesOn(made, root);
  });
});

/** What the program does before its first pass. @returns the generation that then serves */
async function recover(path: string): Promise<number | undefined> {
  const root = await openRoot({ path });
  try {
    const audit = await openAuditLog({ directory: join(path, 'audit') });
    try {
      await recoverOperation(root, audit, silent);
      await restoreLostEvents(root, audit, silent);
      return (await root.current())?.number;
    } finally {
      await audit.close();
    }
  } finally {
    await root.close();
  }
}

/** Opens a damaged database and reads all of a commit, mending and fetching as a pass does. */
async function fetchAgain(gitdir: string, { repo, tip }: RootToDamage, tree: string) {
  const database = await openObjectDatabase(gitdir);
  const remote = openLocalRemote(repo, database);
  const read = async () => {
    await remote.fetchCommits(tip, undefined);
    await remote.fetchTrees([tree]);
    const { tree: top } = await database.readCommit(tip);
    const pending = [top];
    for (let oid = pending.pop(); oid !== undefined; oid = pending.pop()) {
      for (const entry of await database.readTree(oid)) {
        if (entry.mode === '040000') pending.push(entry.oid);
        else await database.readBlob(entry.oid);
      }
    }
  };
  try {
    await read();
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    const deleted = await database.mend();
    if (deleted.length === 0) throw error;
    await read();
  } finally {
    database.dropCaches();
  }
}
