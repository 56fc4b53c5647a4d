import { join } from 'node:path';
import { withDatabase } from './database.ts';
import { inSnapshot, readChainRows, snapshotTimeout } from './database-events.ts';
import { type EventFilter, isMeant } from './event-filter.ts';
import { csvHeader, csvRow } from './export-csv.ts';
import { type ExportRow, exportRow } from './export-row.ts';
import type { AuditSource } from './queries.ts';
import { chainOfRoot } from './root-chain.ts';
import { provenEvents } from './verify-journal.ts';

export type ExportFormat = 'jsonl' | 'csv';

/**
 * Gives every event meant to `write`, as text in pieces of some 64 KiB: ordered by chain and number,
 * complete as of one moment, with no more of it in memory than a piece. An event that a root chained
 * anew after a damage comes again, with `copy` greater than 0.
 *
 * @returns how many rows there were
 * @throws RinglockError `audit-journal-broken`, `no-audit-tables`, `database-…`; what `write` throws
 */
export async function exportAudit(
  source: AuditSource,
  filter: EventFilter,
  format: ExportFormat,
  write: (pieces: AsyncIterable<string>) => Promise<void>,
): Promise<number> {
  let count = 0;
  const counted = async function* (rows: AsyncIterable<ExportRow>): AsyncGenerator<ExportRow> {
    for await (const row of rows) {
      count += 1;
      yield row;
    }
  };
  if ('root' in source) {
    await write(textOf(counted(rowsOfRoot(source.root, filter)), format));
    return count;
  }
  let failed: unknown;
  await withDatabase(
    source.databaseUrl,
    (client) =>
      inSnapshot(client, async () => {
        const rows = async function* (): AsyncGenerator<ExportRow> {
          for await (const { chain, copy, event } of readChainRows(client, {}, filter)) {
            yield exportRow(chain, copy, event);
          }
        };
        // Not an error of the database, which would be told as one.
        await write(textOf(counted(rows()), format)).catch((error: unknown) => {
          failed = error;
        });
      }),
    { statementTimeout: snapshotTimeout },
  );
  if (failed !== undefined) throw failed;
  return count;
}

async function* rowsOfRoot(root: string, filter: EventFilter): AsyncGenerator<ExportRow> {
  const directory = join(root, 'audit');
  const chain = await chainOfRoot(directory);
  for await (const event of provenEvents(directory)) {
    if (isMeant(event, filter)) yield exportRow(chain, 0, event);
  }
}

const pieceLength = 64 * 1024;

async function* textOf(
  rows: AsyncIterable<ExportRow>,
  format: ExportFormat,
): AsyncGenerator<string> {
  let piece = format === 'csv' ? csvHeader() : '';
  for await (const row of rows) {
    piece += format === 'csv' ? csvRow(row) : `${JSON.stringify(row)}\n`;
    if (piece.length < pieceLength) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}
