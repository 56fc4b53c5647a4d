import type pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { environmentFailed } from '../../errors.ts';
import type { ModuleChange } from '../../plan/desired-lock.ts';
import { formatLock, type Lock, parseLock } from '../../repo/lock.ts';
import type { OperationState, OperationView, ReplicaState, ReplicaView } from './ring-decision.ts';
import { overtakenLock, type RingTarget } from './ring-operation.ts';

/** The lock name of a replica's presence. */
export function presenceLock(ring: string, replica: string): string {
  return `ringlock replica ${ring} ${replica}`;
}

export interface OperationRow {
  readonly id: string;
  readonly state: OperationState;
  readonly target: string;
  readonly commit: string | null;
  readonly reason: string | null;
  /** The lock before, in its byte form. */
  readonly previous: string | null;
  readonly changes: readonly ModuleChange[];
  readonly view: OperationView;
}

/** A replica counts as alive when it was heard of this long ago: it reports itself every 40 s at least. */
const aliveSeconds = 75;
/** Its application may go on without it: for what must not be done under it, it counts longer. */
const goneSeconds = 300;
const keptOperations = 200;

export interface JoinFacts {
  readonly ring: string;
  readonly replica: string;
  /** Whether this replica knows a commit to be older than the target's. */
  readonly isOlder: (commit: string) => Promise<boolean>;
}

/**
 * Finds the ring's operation for a target, or begins one; an open one for something older is
 * superseded. Call it in a transaction.
 *
 * @returns the operation's id
 * @throws RinglockError `ring-ahead` when the ring is on its way to a commit unknown here
 */
export async function findOrBegin(
  client: pg.Client,
  facts: JoinFacts,
  target: RingTarget,
): Promise<string> {
  const { ring } = facts;
  await lockRing(client, ring);
  await refuseOlder(client, facts, target);
  const { rows } = await client.query<LatestRow>(latestOperation, [ring]);
  const [latest] = rows;
  if (latest !== undefined) {
    const isOpen = latest.state === 'rolling' || latest.state === 'reverting';
    await refuseOvertaken(facts, target, latest);
    if (latest.target === target.digest && (isOpen || latest.state === 'committed')) {
      return latest.id;
    }
    if (isOpen) await supersede(client, facts, target, latest);
    if (isOpen || latest.overtaken_by !== null) {
      return begin(client, facts, target, leavingToo(target, latest));
    }
  }
  return begin(client, facts, target, target.previous);
}

/** Also what an operation brought that is overtaken half-way: its migrations may have run. */
function leavingToo(target: RingTarget, { lock, previous }: LatestRow): Lock | undefined {
  const { ring } = target.lock;
  const before = previous === null ? target.previous : parseLock(previous, ring);
  return overtakenLock(before, parseLock(lock, ring));
}

/** The target of the ring's operation that is rolling; one that goes back is ended by whoever is in it. */
export async function readOpenTarget(client: pg.Client, ring: string): Promise<string | undefined> {
  const { rows } = await client.query<{ target: string }>(
    `select target from ring_operations where ring = $1 and state = 'rolling'`,
    [ring],
  );
  return rows[0]?.target;
}

/** The ring has gone on from a commit that this replica has not come to: it takes nobody back. */
async function refuseOlder(
  client: pg.Client,
  { ring, isOlder }: JoinFacts,
  { commit, branch }: RingTarget,
): Promise<void> {
  const { rows } = await client.query<{ commit: string }>(
    `select value ->> 'commit' as commit from ring_memory
     where ring = $1 and kind = 'anchor' and key = $2 and value is not null`,
    [ring, branch],
  );
  const anchor = rows[0]?.commit;
  if (anchor === undefined || anchor === commit || (await isOlder(anchor))) return;
  throw ringAhead(anchor);
}

/** Whoever has seen the newer commit is about to begin an operation for it. */
async function refuseOvertaken(
  { isOlder }: JoinFacts,
  { commit, isForced }: RingTarget,
  { overtaken_by: by, was_just_decided: isRecent }: LatestRow,
): Promise<void> {
  if (by === null || by === commit || isForced || !isRecent || (await isOlder(by))) return;
  throw ringAhead(by);
}

function ringAhead(commit: string) {
  return environmentFailed(
    'ring-ahead',
    `the ring is at ${commit}, or on its way there, which this replica has not seen yet`,
    { hint: 'It looks at the branch again by itself; does its git server lag?' },
  );
}

/** The id of the ring's last operation, if that is one for a target. */
export async function findLatest(
  client: pg.Client,
  ring: string,
  target: string,
): Promise<string | undefined> {
  const { rows } = await client.query<LatestRow>(latestOperation, [ring]);
  return rows[0]?.target === target ? rows[0].id : undefined;
}

/** One decision at a time for a ring, until the transaction ends. */
export async function lockRing(client: pg.Client, ring: string): Promise<void> {
  await client.query(
    `select pg_advisory_xact_lock(hashtextextended('ringlock operation ' || $1, 0))`,
    [ring],
  );
}

/** An operation with everybody's part in it. */
export async function readOperation(client: pg.Client, id: string): Promise<OperationRow> {
  const { rows } = await client.query<Omit<OperationRow, 'view'> & ViewColumns>(
    `select id, ring, state, target, commit, reason, previous, changes, members, policy, is_return,
       extract(epoch from now() - created_at) * 1000 as age_ms
     from ring_operations where id = $1`,
    [id],
  );
  const [row] = rows;
  if (row === undefined) {
    throw environmentFailed('operation-lost', `the ring's operation ${id} is not in the database`, {
      hint: 'Was another database restored? The next pass begins another operation.',
    });
  }
  const { rows: replicas } = await client.query<ReplicaView & { state: ReplicaState }>(
    replicasOfRing,
    [row.ring, id],
  );
  const { members, policy, is_return: isReturn, age_ms: age } = row;
  const view = { state: row.state, members, replicas, ageMs: Number(age), isReturn, policy };
  return { ...row, view };
}

/** Says where a replica stands. */
export async function writeReplica(
  client: pg.Client,
  { ring, replica }: Pick<JoinFacts, 'ring' | 'replica'>,
  operation: string,
  state: ReplicaState,
  reason: string | null = null,
): Promise<void> {
  await client.query(
    `insert into ring_replicas (ring, replica, operation_id, state, reason)
     values ($1, $2, $3, $4, $5)
     on conflict (ring, replica) do update set operation_id = excluded.operation_id,
       state = excluded.state, reason = excluded.reason, seen_at = now(), changed_at = now()`,
    [ring, replica, operation, state, reason],
  );
}

interface LatestRow {
  readonly id: string;
  readonly state: OperationState;
  readonly target: string;
  readonly commit: string | null;
  readonly lock: string;
  readonly previous: string | null;
  readonly is_abandoned: boolean;
  readonly overtaken_by: string | null;
  readonly was_just_decided: boolean;
}

interface ViewColumns {
  readonly ring: string;
  readonly members: readonly string[];
  readonly policy: OperationView['policy'];
  readonly is_return: boolean;
  readonly age_ms: string;
}

/** The key of an advisory lock, as pg_locks shows it: two halves of a bigint. */
const isHeld = (name: string) => `exists (
  select 1 from pg_locks l
  where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(${name}, 0))`;

const presenceName = `'ringlock replica ' || r.ring || ' ' || r.replica`;

const latestOperation = `
select o.id, o.state, o.target, o.commit, o.lock, o.previous, o.overtaken_by,
  coalesce(o.decided_at > now() - interval '1 minute', false) as was_just_decided,
  o.created_at < now() - interval '1 minute' and not exists (
    select 1 from ring_replicas r
    where r.ring = o.ring and r.operation_id = o.id and ${isHeld(presenceName)}
  ) as is_abandoned
from ring_operations o where o.ring = $1 order by o.created_at desc, o.id desc limit 1`;

const replicasOfRing = `
select r.replica, r.state, coalesce(r.operation_id = $2, false) as "isJoined",
  ${isHeld(presenceName)} as "isPresent",
  not ${isHeld(presenceName)} and r.seen_at < now() - make_interval(secs =>
    case when r.operation_id = $2 then ${goneSeconds} else ${aliveSeconds} end) as "isGone"
from ring_replicas r where r.ring = $1`;

async function supersede(
  client: pg.Client,
  { isOlder }: JoinFacts,
  target: RingTarget,
  open: LatestRow,
): Promise<void> {
  const isOurs =
    open.commit === null ||
    open.commit === target.commit ||
    open.is_abandoned ||
    (await isOlder(open.commit));
  if (!isOurs) throw ringAhead(open.commit ?? '');
  await supersedeOperation(client, open.id);
}

/**
 * Ends an open operation that is not wanted any more; what it did to the schema is tidied up later.
 *
 * @param overtakenBy the commit that the branch has gone on to, for which there is no operation yet
 */
export async function supersedeOperation(
  client: pg.Client,
  id: string,
  overtakenBy: string | null = null,
): Promise<void> {
  await client.query(
    `update ring_operations o
     set state = case o.state when 'reverting' then 'reverted' else 'superseded' end,
       overtaken_by = $2, decided_at = coalesce(decided_at, now()),
       finished_at = case when exists (
         select 1 from ring_steps s where s.operation_id = o.id and s.key = 'migrate'
       ) then null else now() end
     where id = $1`,
    [id, overtakenBy],
  );
}

/** Whether the target is what the ring runs well: only who has left it comes back, nobody else joins. */
const isGood = `select from ring_memory
  where ring = $2 and kind = 'good' and value->>'digest' = $4`;

async function begin(
  client: pg.Client,
  { ring, replica }: JoinFacts,
  target: RingTarget,
  previous: Lock | undefined,
): Promise<string> {
  const id = uuidv7();
  await client.query(
    `insert into ring_operations (id, ring, commit, target, lock, changes, is_return, state, members,
       policy, leader, previous)
     values ($1, $2, $3, $4, $5, $6,
       $11 or ($9 and exists (select 1 from ring_operations
         where ring = $2 and target = $4 and state = 'committed')),
       'rolling',
       array(select replica from ring_replicas
         where ring = $2 and seen_at > now() - make_interval(secs => ${aliveSeconds})
           and not exists (${isGood})
         union select $8),
       $7, $8, $10)`,
    [
      id,
      ring,
      target.commit,
      target.digest,
      formatLock(target.lock),
      JSON.stringify(target.changes),
      JSON.stringify(target.policy),
      replica,
      target.isReturn,
      previous === undefined ? null : formatLock(previous),
      target.isForced,
    ],
  );
  await client.query(
    `delete from ring_operations where ring = $1 and state not in ('rolling', 'reverting') and id not in (
       select id from ring_operations where ring = $1 order by created_at desc limit ${keptOperations})`,
    [ring],
  );
  return id;
}
