import { interrupted, type RingWork } from './ring-operation.ts';
import type { RingSession } from './ring-session.ts';

/**
 * Runs work unless the ring's operation has it done: what is begun is written before, its end after.
 * Whoever calls holds the lock under which all such work runs, so that a step begun and not ended was
 * cut off; it runs again only if it may.
 *
 * @throws RinglockError `handler-interrupted`, and what the work throws
 */
export async function runOnce(
  session: RingSession,
  operation: string,
  replica: string,
  { key, idempotent, run }: RingWork,
  signal: AbortSignal,
): Promise<void> {
  const attempt = await session.transact(async (client) => {
    const { rows } = await client.query<{ attempt: number; state: string; idempotent: boolean }>(
      `select attempt, state, idempotent from ring_steps where operation_id = $1 and key = $2
       order by attempt desc limit 1`,
      [operation, key],
    );
    const [last] = rows;
    if (last?.state === 'succeeded') return undefined;
    if (last?.state === 'started') {
      await client.query(
        `update ring_steps set state = 'interrupted', finished_at = now()
         where operation_id = $1 and key = $2 and attempt = $3`,
        [operation, key, last.attempt],
      );
    }
    if (last !== undefined && last.state !== 'failed' && !last.idempotent) return 'interrupted';
    const next = (last?.attempt ?? 0) + 1;
    await client.query(
      `insert into ring_steps (operation_id, key, attempt, state, replica, idempotent)
       values ($1, $2, $3, 'started', $4, $5)`,
      [operation, key, next, replica, idempotent],
    );
    return next;
  });
  if (attempt === undefined) return;
  if (attempt === 'interrupted') throw interrupted(key);
  const end = (state: string, detail: string) =>
    session.run((client) =>
      client.query(
        `update ring_steps set state = $4, detail = $5, finished_at = now()
         where operation_id = $1 and key = $2 and attempt = $3`,
        [operation, key, attempt, state, detail.replaceAll('\0', '\uFFFD').slice(0, 4000)],
      ),
    );
  try {
    await end('succeeded', await run(signal));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Aborted work has not said how far it came: it stays begun, and the next one finds it cut off.
    if (!signal.aborted) await end('failed', message);
    throw error;
  }
}
