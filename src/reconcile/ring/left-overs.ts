import type pg from 'pg';
import { inTransaction } from '../../audit/database.ts';
import { type Lock, parseLock } from '../../repo/lock.ts';
import {
  lockRing,
  type OperationRow,
  readOperation,
  supersedeOperation,
  writeReplica,
} from './operation-rows.ts';
import { haveAllReturned, haveAllSettled } from './ring-decision.ts';

/** What a replica that is done with its pass knows of its ring. */
export interface LeftOverFacts {
  /** What is wanted of the ring. */
  readonly digest: string;
  readonly commit: string | null;
  readonly isOlder: (commit: string) => Promise<boolean>;
}

/** An operation that is over but for its schema. */
export interface LeftOver {
  readonly id: string;
  /** What everybody has left. */
  readonly left: Lock;
}

/** @returns what was done, in words; undefined when there was nothing */
export type TidyUp = (operation: LeftOver) => Promise<string | undefined>;

/**
 * Younger ones are still being ended by those who took part. A replica that took part in what the ring
 * committed and is here again does not wait: nobody else may be left to end it.
 */
const oldEnough = `interval '20 seconds'`;

/** Whether there is anything to end. */
export async function hasLeftOvers(client: pg.Client, ring: string): Promise<boolean> {
  const { rows } = await client.query(
    `select 1 from ring_operations
     where ring = $1 and finished_at is null and created_at < now() - ${oldEnough} limit 1`,
    [ring],
  );
  return rows.length > 0;
}

/**
 * Ends operations whose last replica was killed before it could: replicas that are off its versions are
 * noted so, one that nobody wants is superseded, and the schema follows what everybody has left.
 */
export async function endLeftOvers(
  client: pg.Client,
  facts: LeftOverFacts & { readonly ring: string; readonly replica: string },
  tidy: TidyUp,
): Promise<void> {
  const { rows } = await client.query<{ id: string; lock: string }>(
    `select id, lock from ring_operations o
     where ring = $1 and finished_at is null and (created_at < now() - ${oldEnough}
       or state = 'committed' and exists (select from ring_replicas r
         where r.ring = $1 and r.replica = $2 and r.operation_id = o.id))
     order by created_at limit 5`,
    [facts.ring, facts.replica],
  );
  for (const { id, lock } of rows) {
    const operation = await inTransaction(client, async () => {
      await lockRing(client, facts.ring);
      return settle(client, facts, id);
    });
    const left = operation.state === 'committed' ? operation.previous : lock;
    if (!(await isLeft(client, facts.ring, operation))) continue;
    await endOne(client, facts, { id, left: parseLock(left ?? lock, facts.ring) }, tidy);
  }
}

/** This replica is done with a pass: it is on no other versions than those that are wanted. */
async function settle(
  client: pg.Client,
  { ring, replica, digest, commit, isOlder }: Parameters<typeof endLeftOvers>[1],
  id: string,
): Promise<OperationRow> {
  const operation = await readOperation(client, id);
  if (operation.target === digest) return operation;
  const own = operation.view.replicas.find((view) => view.replica === replica);
  if (own?.isJoined === true) await writeReplica(client, { ring, replica }, id, 'returned');
  const isOpen = operation.state === 'rolling' || operation.state === 'reverting';
  const isDeserted = !operation.view.replicas.some((view) => view.isJoined && view.isPresent);
  const isOurs =
    operation.commit === null || operation.commit === commit || (await isOlder(operation.commit));
  if (isOpen && isDeserted && isOurs && operation.state === 'rolling') {
    await supersedeOperation(client, id);
  }
  return readOperation(client, id);
}

async function isLeft(
  client: pg.Client,
  ring: string,
  { state, view }: OperationRow,
): Promise<boolean> {
  if (state === 'rolling') return false;
  if (state === 'committed') return haveAllSettled(view);
  const { rows } = await client.query(
    `select 1 from ring_operations where ring = $1 and state = 'rolling'`,
    [ring],
  );
  return rows.length === 0 && haveAllReturned(view);
}

async function endOne(
  client: pg.Client,
  { ring, replica }: { readonly ring: string; readonly replica: string },
  operation: LeftOver,
  tidy: TidyUp,
): Promise<void> {
  const name = `ringlock once ${ring}`;
  const { rows } = await client.query<{ taken: boolean }>(
    'select pg_try_advisory_lock(hashtextextended($1, 0)) as taken',
    [name],
  );
  if (rows[0]?.taken !== true) return;
  try {
    const done = (await tidy(operation)) ?? 'nothing to do';
    await recordTidying(client, replica, operation.id, done);
    await client.query(
      `update ring_operations set finished_at = now(),
         state = case state when 'reverting' then 'reverted' else state end
       where id = $1 and finished_at is null`,
      [operation.id],
    );
  } finally {
    await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [name]);
  }
}

/** What was cut off is not under way any more: this was done in its place. */
async function recordTidying(
  client: pg.Client,
  replica: string,
  operation: string,
  done: string,
): Promise<void> {
  await client.query(
    `update ring_steps set state = 'interrupted', finished_at = now()
     where operation_id = $1 and state = 'started'`,
    [operation],
  );
  await client.query(
    `insert into ring_steps (operation_id, key, attempt, state, replica, idempotent, detail, finished_at)
     select $1, 'schema tidy', count(*) + 1, 'succeeded', $2, true, $3, now()
     from ring_steps where operation_id = $1 and key = 'schema tidy'`,
    [operation, replica, done],
  );
}
