import type pg from 'pg';
import { interrupted, type RingWork } from './ring-operation.ts';
import type { RingSession } from './ring-session.ts';

/** Whose step it is. */
export interface StepOwner {
  readonly ring: string;
  readonly replica: string;
  readonly operation: string;
}

/**
 * Runs work unless the ring has it done: what is begun is written before, its end after. Whoever calls
 * holds the lock under which all such work runs, so that a step begun and not ended was cut off; it runs
 * again only if it may. What an operation did that was superseded counts for the next one.
 *
 * @throws RinglockError `handler-interrupted`, and what the work throws
 */
export async function runOnce(
  session: RingSession,
  owner: StepOwner,
  work: RingWork,
  signal: AbortSignal,
): Promise<void> {
  const { key } = work;
  const attempt = await session.transact((client) => beginStep(client, owner, work));
  if (attempt === 'done') return;
  if (attempt === 'interrupted') throw interrupted(key);
  const end = (state: string, detail: string) =>
    session.run((client) =>
      client.query(
        `update ring_steps set state = $4, detail = $5, finished_at = now()
         where operation_id = $1 and key = $2 and attempt = $3`,
        [owner.operation, key, attempt, state, detail.replaceAll('\0', '\uFFFD').slice(0, 4000)],
      ),
    );
  try {
    await end('succeeded', await work.run(signal));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Aborted work has not said how far it came: it stays begun, and the next one finds it cut off.
    if (!signal.aborted) await end('failed', message);
    throw error;
  }
}

interface StepRow {
  readonly operation_id: string;
  readonly attempt: number;
  readonly state: 'started' | 'succeeded' | 'failed' | 'interrupted';
  readonly idempotent: boolean;
}

/** @returns the attempt that is now begun */
async function beginStep(
  client: pg.Client,
  { ring, operation, replica }: StepOwner,
  { key, idempotent }: RingWork,
): Promise<number | 'done' | 'interrupted'> {
  const { rows } = await client.query<StepRow>(latestStep, [ring, operation, key]);
  const [last] = rows;
  if (last?.state === 'succeeded') return 'done';
  if (last?.state === 'started') {
    await client.query(
      `update ring_steps set state = 'interrupted', finished_at = now()
       where operation_id = $1 and key = $2 and attempt = $3`,
      [last.operation_id, key, last.attempt],
    );
  }
  if (last !== undefined && last.state !== 'failed' && !last.idempotent) return 'interrupted';
  const attempt = last?.operation_id === operation ? last.attempt + 1 : 1;
  await client.query(
    `insert into ring_steps (operation_id, key, attempt, state, replica, idempotent)
     values ($1, $2, $3, 'started', $4, $5)`,
    [operation, key, attempt, replica, idempotent],
  );
  return attempt;
}

/** Of this operation; of a handler also in those that were superseded since the last that was committed. */
const latestStep = `
select s.operation_id, s.attempt, s.state, s.idempotent
from ring_steps s join ring_operations o on o.id = s.operation_id
where s.key = $3 and (o.id = $2 or (
  $3 like 'handler %' and o.ring = $1 and o.state = 'superseded' and o.created_at > coalesce(
    (select max(c.created_at) from ring_operations c
     where c.ring = $1 and c.state = 'committed' and c.id <> $2), '-infinity')))
order by s.started_at desc, s.attempt desc limit 1`;
