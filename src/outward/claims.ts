import type pg from 'pg';
import { inTransaction } from '../audit/database.ts';
import type { Message } from './message.ts';
import { attemptMs } from './send-request.ts';

/** Runs statements on the ring's database; undefined where the ring has none. */
export type WithClient = <T>(use: (client: pg.Client) => Promise<T>) => Promise<T | undefined>;

/** Which of a ring's replicas tells what. */
export interface Claims {
  /**
   * Whether this replica is the one to tell; without a database each is.
   *
   * @throws RinglockError `database-…`
   */
  claim(receiver: string, message: Message): Promise<boolean>;
  /**
   * How what was claimed stands among the ring's other messages of the same commit.
   *
   * @throws as claim()
   */
  placeOf(receiver: string, message: Message): Promise<Place>;
  /** What was claimed is told, or never will be. @throws as claim() */
  finish(receiver: string, message: Message): Promise<void>;
}

/** `behind`: another replica is about to tell something earlier; `overtaken`: something later is told. */
export type Place = 'next' | 'behind' | 'overtaken';

export function createClaims(withClient: WithClient): Claims {
  return {
    claim: async (receiver, message) =>
      (await withClient((client) =>
        inTransaction(client, () => claimOnce(client, receiver, message)),
      )) ?? true,
    placeOf: async (receiver, message) =>
      (await withClient((client) => readPlace(client, receiver, message))) ?? 'next',
    finish: async (receiver, { id, key, data }) => {
      await withClient((client) =>
        client.query(
          `update outward_claims set is_done = true
           where ring = $1 and receiver = $2 and key = $3 and delivery = $4`,
          [data.ring, receiver, key, id],
        ),
      );
    },
  };
}

/** For no longer than an attempt may take is another replica waited for: it may have been killed. */
async function readPlace(
  client: pg.Client,
  receiver: string,
  { key, data }: Message,
): Promise<Place> {
  const { rows } = await client.query<{ later: boolean | null; earlier: boolean | null }>(
    `select bool_or(other.claimed_at > own.claimed_at) as later,
       bool_or(other.claimed_at < own.claimed_at and not other.is_done
         and other.claimed_at > clock_timestamp() - $4 * interval '1 millisecond') as earlier
     from outward_claims own join outward_claims other using (ring, receiver, commit)
     where own.ring = $1 and own.receiver = $2 and own.key = $3 and other.replica <> own.replica`,
    [data.ring, receiver, key, 2 * attemptMs],
  );
  if (rows[0]?.later === true) return 'overtaken';
  return rows[0]?.earlier === true ? 'behind' : 'next';
}

/** What this long ago was told is not found anew by a pod with a fresh disk. */
const forgottenAfter = '90 days';

async function claimOnce(client: pg.Client, receiver: string, message: Message): Promise<boolean> {
  const { id, key, ends, data } = message;
  const { ring, replica, commit } = data;
  if (ends !== null) {
    const { rows } = await client.query<{ replica: string }>(
      'select replica from outward_claims where ring = $1 and receiver = $2 and key = $3 for update',
      [ring, receiver, ends],
    );
    // Who told of it tells that it is over; where nobody has it any more, whoever comes first.
    if (rows.some((row) => row.replica !== replica)) return false;
  }
  const { rowCount } = await client.query(
    `insert into outward_claims as c (ring, receiver, key, delivery, replica, commit, lapses)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (ring, receiver, key) do update set delivery = excluded.delivery,
       replica = excluded.replica, claimed_at = excluded.claimed_at
     where c.delivery = excluded.delivery
       or (c.lapses and c.claimed_at < now() - interval '1 day')`,
    [ring, receiver, key, id, replica, commit, isPassing(message)],
  );
  if (rowCount === 0) return false;
  // The trouble may come again, and so may its end.
  const spent = ends ?? `recovered ${key}`;
  await client.query(
    `delete from outward_claims where ring = $1 and receiver = $2 and (key = $3
       or claimed_at < now() - interval '${forgottenAfter}')`,
    [ring, receiver, spent],
  );
  return true;
}

/** Trouble that nobody is left to tell the end of may be told again another day. */
function isPassing({ event }: Message): boolean {
  return ['held', 'refused', 'failed', 'unreachable', 'degraded', 'recovered'].includes(event);
}
