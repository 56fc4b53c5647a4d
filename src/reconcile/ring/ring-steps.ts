import { setTimeout as delay } from 'node:timers/promises';
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
 * How long a handler may outlive the session of whoever ran it, in ms: its loss is seen within 7 s
 * (ring-session.ts), SIGTERM gives it 2 s more.
 */
const outlivesMs = 10_000;

/**
 * Runs work unless the ring has it done: what is begun is written before, its end after. Whoever calls
 * holds the lock under which all such work runs, so that a step begun and not ended was cut off; it runs
 * again only if it may, and not while what was cut off may still be at it. What an operation did that
 * was superseded counts for the next one.
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
  for (;;) {
    const next = await session.transact((client) => beginStep(client, owner, work));
    if (next === 'succeeded') return;
    if (next === 'interrupted') throw interrupted(key);
    if ('attempt' in next) return runStep(session, owner.operation, work, next.attempt, signal);
    await delay(next.waitMs, undefined, { signal });
  }
}

type Next =
  | 'succeeded'
  | 'interrupted'
  | { readonly attempt: number }
  | { readonly waitMs: number };

interface StepRow {
  readonly operation_id: string;
  readonly attempt: number;
  readonly state: 'started' | 'succeeded' | 'failed' | 'interrupted';
  readonly idempotent: boolean;
}

async function beginStep(
  client: pg.Client,
  { ring, operation, replica }: StepOwner,
  { key, idempotent, outlives = false }: RingWork,
): Promise<Next> {
  // Also those of operations that were stopped: nobody else will say that they are over.
  await client.query(
    `update ring_steps set state = 'interrupted', finished_at = now()
     where state = 'started' and operation_id in (select id from ring_operations where ring = $1)`,
    [ring],
  );
  const { rows } = await client.query<StepRow>(latestStep, [ring, operation, key]);
  const [last] = rows;
  if (last?.state === 'succeeded') return 'succeeded';
  if (last !== undefined && last.state !== 'failed' && !last.idempotent) return 'interrupted';
  const waitMs = outlives ? await restOfCutOff(client, ring) : 0;
  if (waitMs > 0) return { waitMs };
  const attempt = last?.operation_id === operation ? last.attempt + 1 : 1;
  await client.query(
    `insert into ring_steps (operation_id, key, attempt, state, replica, idempotent)
     values ($1, $2, $3, 'started', $4, $5)`,
    [operation, key, attempt, replica, idempotent],
  );
  return { attempt };
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

/** How long to wait for handlers of the ring that were cut off; one that says why has ended. */
async function restOfCutOff(client: pg.Client, ring: string): Promise<number> {
  const { rows } = await client.query<{ rest: string | null }>(
    `select $2 - extract(epoch from clock_timestamp() - max(finished_at)) * 1000 as rest
     from ring_steps where state = 'interrupted' and detail is null and key like 'handler %'
       and operation_id in (select id from ring_operations where ring = $1)`,
    [ring, outlivesMs],
  );
  return Math.max(0, Number(rows[0]?.rest ?? 0));
}

async function runStep(
  session: RingSession,
  operation: string,
  { key, run }: RingWork,
  attempt: number,
  signal: AbortSignal,
): Promise<void> {
  const end = (state: string, detail: string) =>
    session.run((client) =>
      client.query(
        `update ring_steps set state = $4, detail = $5, finished_at = now()
         where operation_id = $1 and key = $2 and attempt = $3`,
        [operation, key, attempt, state, detail.replaceAll('\0', '\uFFFD').slice(0, 4000)],
      ),
    );
  let detail: string;
  try {
    detail = await run(signal);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Aborted work has not said how far it came; with the session lost, the next one finds it begun.
    if (!session.signal.aborted) await end(signal.aborted ? 'interrupted' : 'failed', message);
    throw error;
  }
  await end('succeeded', detail);
}
