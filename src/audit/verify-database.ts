import type { ChainReport, HeadSearch } from './chain-report.ts';
import { withDatabase } from './database.ts';
import { type ChainFilter, inSnapshot, readChainRows, snapshotTimeout } from './database-events.ts';
import { verifyRows } from './verify-rows.ts';

/**
 * Verifies the chains of every root that reports to a database, by what it has alone: all in one
 * snapshot, which no writer waits for.
 *
 * @throws RinglockError `no-audit-tables`, `database-…`
 */
export function verifyDatabase(
  databaseUrl: string,
  filter: ChainFilter,
  heads: HeadSearch,
): Promise<ChainReport[]> {
  return withDatabase(
    databaseUrl,
    (client) =>
      inSnapshot(client, () =>
        verifyRows(readChainRows(client, filter), 'postgres', 'none', heads),
      ),
    { statementTimeout: snapshotTimeout },
  );
}
