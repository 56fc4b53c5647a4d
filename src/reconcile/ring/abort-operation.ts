import type pg from 'pg';
import { inTransaction } from '../../audit/database.ts';
import { refused } from '../../errors.ts';
import { changesKey, type FailedSet, type ModuleChange } from '../../plan/desired-lock.ts';
import { lockRing } from './operation-rows.ts';
import { overwriteRecord } from './ring-memory.ts';
import { announceNews } from './ring-news.ts';
import { announce } from './ring-session.ts';

/**
 * Stops the ring's operation that is under way: no further wave starts, and what it brought counts as
 * failed, so that every replica goes back to the last good versions.
 *
 * @returns what was stopped
 * @throws RinglockError `nothing-to-abort`
 */
export async function abortOperation(
  client: pg.Client,
  ring: string,
  reason: string,
): Promise<FailedSet> {
  const stopped = await inTransaction(client, async () => {
    await lockRing(client, ring);
    const { rows } = await client.query<{
      id: string;
      commit: string | null;
      changes: readonly ModuleChange[];
    }>(
      `update ring_operations set state = 'superseded', reason = $2, finished_at = now()
       where ring = $1 and state = 'rolling' returning id, commit, changes`,
      [ring, reason],
    );
    const [operation] = rows;
    if (operation === undefined) throw nothingToAbort(ring);
    const { changes, commit } = operation;
    const failed: FailedSet = { changes, reason, commit };
    await overwriteRecord(client, ring, 'failure', changesKey(changes), failed);
    return failed;
  });
  await announce(client, ring);
  await announceNews(client, ring);
  return stopped;
}

function nothingToAbort(ring: string) {
  return refused('nothing-to-abort', `no operation of ring ${ring} is under way`, {
    hint: 'One that has a healthy majority is committed: go back with git revert, or ringlock rollback --local.',
  });
}
