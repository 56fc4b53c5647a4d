import { RinglockError } from '../errors.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import { usualSchedule } from '../outward/courier.ts';
import type { CommitFacts } from '../outward/message.ts';
import { Outward } from '../outward/outward.ts';
import type { Receiver } from '../outward/receiver.ts';
import { attemptMs } from '../outward/send-request.ts';
import { type ConnectionOptions, Connections } from '../wire/connections.ts';
import type { Log } from './log.ts';
import type { OpenReconciler } from './open-reconciler.ts';

/** Tells receivers what becomes of a root, until it is closed. */
export interface TellOutside {
  /** Looks a last time, and waits for what can be told now. */
  finish(withinMs: number): Promise<void>;
  /** What was not told stays for the next time. */
  close(): Promise<void>;
}

/**
 * Has the receivers told from now on; undefined when there are none, or when a disk that fails keeps it
 * from being known what they were told: no ring stands still because of that.
 */
export async function tellOutside(
  receivers: readonly Receiver[],
  opened: OpenReconciler,
  log: Log,
  way: Omit<ConnectionOptions, 'idleTimeoutMs'>,
): Promise<TellOutside | undefined> {
  if (receivers.length === 0) return undefined;
  try {
    return await begin(receivers, opened, log, way);
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    log.error(`the outside is not told: ${error.message}`, { code: error.code });
    return undefined;
  }
}

async function begin(
  receivers: readonly Receiver[],
  { root, status, database, membership, tally }: OpenReconciler,
  log: Log,
  way: Omit<ConnectionOptions, 'idleTimeoutMs'>,
): Promise<TellOutside> {
  const outward = await Outward.open({
    root: root.path,
    receivers,
    status: () => status.current,
    holds: () =>
      membership.memory.holdRecords.map(({ alias, at, hold }) => ({
        ...{ alias, at },
        hold: hold && { version: hold.entry?.version ?? null, reason: hold.reason, by: hold.by },
      })),
    commitFacts: (commit) => readCommitFacts(database, commit),
    withClient: (use) => membership.withClient(use),
    connections: new Connections({ ...way, idleTimeoutMs: attemptMs }),
    log,
    now: () => new Date(),
    schedule: usualSchedule,
  });
  tally.backlogs = () => outward.backlogs;
  status.whenChanged(() => outward.look());
  outward.look();
  return {
    finish: async (withinMs) => {
      outward.look();
      await outward.settled(withinMs);
    },
    close: () => outward.close(),
  };
}

/** Undefined for a commit that is not here, or damaged: it is told without. */
async function readCommitFacts(
  database: ObjectDatabase,
  commit: string,
): Promise<CommitFacts | undefined> {
  try {
    const { author, message } = await database.readCommit(commit);
    const [subject = ''] = message.split('\n', 1);
    return { author: `${author.name} <${author.email}>`, subject };
  } catch (error) {
    if (error instanceof RinglockError) return undefined;
    throw error;
  }
}
