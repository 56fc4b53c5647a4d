import { join } from 'node:path';
import { badInput } from '../errors.ts';
import { inTransaction, withDatabase } from './database.ts';
import type { AuditEvent } from './event.ts';
import { recordEvents } from './projection.ts';
import { chainOfRoot } from './root-chain.ts';
import { ensureSchema } from './schema.ts';
import { provenEvents } from './verify-journal.ts';

export interface Resent {
  /** Events of the root that Postgres has now. */
  readonly events: number;
  /** Those of them that it did not have. */
  readonly added: number;
}

/**
 * Sends every event of a root's journal to Postgres again, whatever was delivered before: for a database
 * that was restored from a backup, or lost rows. What is there stays as it is, changed or not; a
 * reconciler may work meanwhile.
 *
 * @throws RinglockError `no-audit`, `audit-journal-broken` (what comes before the break was sent), `database-…`
 */
export function resendAudit(root: string, databaseUrl: string): Promise<Resent> {
  const directory = join(root, 'audit');
  return withDatabase(databaseUrl, async (client) => {
    const chain = await chainOfRoot(directory, client);
    if (chain === null) {
      throw badInput('no-audit', `${directory} has no events to send`, {
        hint: 'Give the directory that a reconciler owns as --root.',
      });
    }
    await ensureSchema(client);
    let [events, added] = [0, 0];
    for await (const batch of inBatches(provenEvents(directory), 500)) {
      added += await inTransaction(client, () => recordEvents(client, chain, batch));
      events += batch.length;
    }
    return { events, added };
  });
}

async function* inBatches(
  events: AsyncIterable<AuditEvent>,
  size: number,
): AsyncGenerator<AuditEvent[]> {
  let batch: AuditEvent[] = [];
  for await (const event of events) {
    batch.push(event);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
