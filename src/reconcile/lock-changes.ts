import { refused } from '../errors.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { Commit } from '../git/object-store.ts';
import type { Remote } from '../git/remote.ts';
import { fetchTreesThemselves } from './fetch-trees-themselves.ts';
import { knownCommits, lockIds } from './lock-commit.ts';

/** How many generations of commits are fetched at first, how many times more each time, and at most. */
const depths = { first: 32, factor: 8, last: 16_384 };

/**
 * The commits that a ring's lock may have its present content from, newest first: walking back from the tip
 * along all parents that have the same lock, those that have another one than some parent, or no parent at
 * all. More history is fetched until every way back has come to its end.
 *
 * @param tip is in the database
 * @throws RinglockError `commit-history-unproven` when there is no end in what the server has, or it is too far
 */
export async function findLockChanges(
  database: ObjectDatabase,
  remote: Remote,
  tip: string,
  ring: string,
): Promise<ReadonlySet<string>> {
  const start = await database.readCommit(tip);
  let seen = 0;
  for (let depth = depths.first; depth <= depths.last; depth *= depths.factor) {
    await remote.fetchCommits(tip, undefined, depth);
    const commits = await knownCommits(database, start, Number.POSITIVE_INFINITY);
    const locks = await lockIds([...commits.values()], database, ring, (oids) =>
      fetchTreesThemselves(remote, oids),
    );
    const { changes, isComplete } = walkBack(start, commits, locks);
    if (isComplete) return changes;
    if (commits.size === seen) break;
    seen = commits.size;
  }
  throw refused(
    'commit-history-unproven',
    `the commit that last changed the lock of ${ring} was not found in the ${seen} commits up to ${tip}`,
    {
      hint: `Give the pods a database that knows what was verified, push a signed commit that changes the lock, or let the tip pass: --trust-commit ${tip}`,
    },
  );
}

function walkBack(
  tip: Commit,
  commits: ReadonlyMap<string, Commit>,
  locks: ReadonlyMap<string, string>,
): { changes: Set<string>; isComplete: boolean } {
  const changes = new Set<string>();
  const walked = new Set([tip.oid]);
  const queue = [tip];
  let isComplete = true;
  for (let commit = queue.shift(); commit !== undefined; commit = queue.shift()) {
    const { oid } = commit;
    if (commit.parents.length === 0) changes.add(oid);
    for (const id of commit.parents) {
      const parent = commits.get(id);
      if (parent === undefined) isComplete = false;
      else if (locks.get(id) !== locks.get(oid)) changes.add(oid);
      else if (!walked.has(id)) {
        walked.add(id);
        queue.push(parent);
      }
    }
  }
  return { changes, isComplete };
}
