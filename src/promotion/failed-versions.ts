import type { LockEntry } from '../repo/lock.ts';
import { findSoaks } from '../repo/soak.ts';
import { type RingRecord, readRingRecord } from './ring-record.ts';

/** Why a version is a failure in a ring; undefined when it is none. */
export type FailureOf = (alias: string, entry: LockEntry) => string | undefined;

/**
 * Which versions failed in rings, as the audit database knows it; without a database none is known.
 *
 * @throws RinglockError `database-…`
 */
export async function readFailures(
  databaseUrl: string | undefined,
  rings: readonly string[],
  asked: readonly { readonly alias: string; readonly entry: LockEntry }[],
): Promise<FailureOf> {
  if (databaseUrl === undefined || asked.length === 0) return () => undefined;
  const versions = asked.map(({ alias, entry }) => ({ alias, version: entry.version }));
  const records: { ring: string; record: RingRecord }[] = [];
  for (const ring of rings) {
    records.push({ ring, record: await readRingRecord(databaseUrl, ring, versions) });
  }
  return (alias, entry) => {
    for (const { ring, record } of records) {
      const reason = failureIn(record, alias, entry);
      if (reason !== undefined) return `it failed in ${ring}${reason}`;
    }
    return undefined;
  };
}

/** Failed and kept out, or failed and not been well since. */
function failureIn(
  { events, failures }: RingRecord,
  alias: string,
  { version, sha256 }: LockEntry,
): string | undefined {
  const kept = failures.find(({ changes }) =>
    changes.some((one) => one.alias === alias && one.version === version && one.sha256 === sha256),
  );
  if (kept !== undefined) return `: ${kept.reason}`;
  const { soaks, failedAt } = findSoaks(events.get(alias) ?? [], { version, sha256 });
  if (failedAt === undefined || soaks.some(({ begin }) => begin >= failedAt)) return undefined;
  return ` at ${new Date(failedAt).toISOString()}, and was taken back`;
}
