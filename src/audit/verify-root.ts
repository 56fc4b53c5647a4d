import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { badInput } from '../errors.ts';
import { diskFailed } from '../store/disk-error.ts';
import { type ChainBreak, eventName } from './chain-break.ts';
import { type ChainReport, ChainTale, type HeadSearch } from './chain-report.ts';
import { checkChainRows } from './chain-rows.ts';
import { DatabaseComparer } from './compare-database.ts';
import { SqliteComparer } from './compare-sqlite.ts';
import { withDatabase } from './database.ts';
import { inSnapshot, readChainRows, snapshotTimeout } from './database-events.ts';
import { chainOfRoot, type DeliveredNote, readDeliveredNote } from './root-chain.ts';
import { type JournalProof, verifyJournal } from './verify-journal.ts';

/**
 * Verifies the chain of a root's journal, and that its SQLite file and Postgres have the same.
 *
 * It takes no lock and may run beside a reconciler that appends and delivers: what may be behind is
 * read first (SQLite, the note of what was delivered, a snapshot of Postgres), the journal last. What
 * looks broken is read a second time, since an append that fails is taken back under a reader.
 *
 * @throws RinglockError `no-audit`, `disk-…`, `database-…`
 */
export async function verifyRoot(
  root: string,
  databaseUrl: string | undefined,
  heads: HeadSearch,
): Promise<ChainReport> {
  const directory = join(root, 'audit');
  if (!existsSync(directory)) {
    throw badInput('no-audit', `${directory} is not there, expected the audit of a root`, {
      hint: 'Give the directory that a reconciler owns as --root.',
    });
  }
  const verify = () =>
    databaseUrl === undefined
      ? verifyOnce(root, undefined, heads)
      : withDatabase(
          databaseUrl,
          (client) => inSnapshot(client, () => verifyOnce(root, client, heads)),
          { statementTimeout: snapshotTimeout },
        );
  try {
    const report = await verify();
    return report.breaks.length === 0 ? report : await verify();
  } catch (error) {
    throw diskFailed(error, directory);
  }
}

async function verifyOnce(
  root: string,
  client: pg.Client | undefined,
  heads: HeadSearch,
): Promise<ChainReport> {
  const directory = join(root, 'audit');
  const sqlite = await SqliteComparer.open(directory);
  const delivered = await readDeliveredNote(directory);
  const chain = await chainOfRoot(directory, client);
  const postgres =
    client === undefined || chain === null
      ? undefined
      : new DatabaseComparer(
          checkChainRows(readChainRows(client, { chain }), 'postgres', 'none'),
          delivered.sequence,
        );
  const tale = new ChainTale();
  const journal = await verifyJournal(directory, (event) => {
    tale.see(event);
    heads.see(event, chain);
    sqlite?.see(event);
    return postgres?.see(event);
  });
  const isWhole = journal.broken === null;
  const ofSqlite = sqlite?.end(journal.last, isWhole);
  const ofPostgres = await postgres?.end(journal.last, isWhole, tale.isRestored);
  const cutOff = isWhole && !tale.isRestored ? cutOffBefore(delivered, journal, directory) : null;
  const breaks = [journal.broken, cutOff, ofSqlite?.broken, ofPostgres?.broken];
  return tale.report({
    chain,
    root,
    journal: { segments: journal.segments, unfinished_bytes: journal.unfinishedBytes },
    postgres: ofPostgres === undefined ? null : withoutBreak(ofPostgres),
    sqlite: ofSqlite === undefined ? null : withoutBreak(ofSqlite),
    breaks: breaks.filter((one) => one !== null && one !== undefined),
  });
}

function withoutBreak<T extends { readonly broken: unknown }>({ broken: _, ...rest }: T) {
  return rest;
}

/** The journal ends before what it has delivered. */
function cutOffBefore(
  { sequence, hash }: DeliveredNote,
  { last }: JournalProof,
  directory: string,
): ChainBreak | null {
  const end = last?.sequence ?? 0;
  if (sequence <= end) return null;
  return {
    ...{ where: 'root', kind: 'truncated', file: directory, line: null, id: null },
    sequence: end + 1,
    expected: sequence === end + 1 ? hash : null,
    found: null,
    message: `the journal ends with ${eventName(end, last?.id ?? null)}, and outbox.json says that event ${sequence} was delivered`,
  };
}
