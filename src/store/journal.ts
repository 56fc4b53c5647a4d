import { open, readFile, stat, truncate } from 'node:fs/promises';
import type { AuditEventInput } from '../audit/event.ts';
import { environmentFailed } from '../errors.ts';
import { syncDirectory, writeFileAtomically } from './atomic-file.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import { journalPath, type StoreContext } from './layout.ts';

/** A step of an operation, written before (`prepared`) or after (the others) it is done. */
export type JournalEntry =
  | {
      readonly type: 'prepared';
      /** UUIDv7 of the operation. */
      readonly operationId: string;
      /** What `current` showed before; null when nothing. */
      readonly fromGeneration: number | null;
      readonly toGeneration: number;
      /** The lock commit; null for what no commit asked for. */
      readonly commit: string | null;
      /** The audit events that belong to the operation when it succeeds, that of the whole last. */
      readonly events: readonly AuditEventInput[];
      /** Present: after its switch it still has to be found well before it counts as committed. */
      readonly gate?: Gate;
    }
  | { readonly type: 'switched'; readonly operationId: string }
  | { readonly type: 'committed'; readonly operationId: string }
  | {
      /** About to go back to `fromGeneration`. */
      readonly type: 'reverting';
      readonly operationId: string;
      readonly events: readonly AuditEventInput[];
    }
  | { readonly type: 'reverted'; readonly operationId: string };

/** What an operation goes on with after its switch, also in another process. */
export interface Gate {
  /** `sha256:<hex>` of the desired lock that it makes true. */
  readonly target: string;
  /** What the application was before the switch; `unknown` where nothing is asked. */
  readonly baseline: 'healthy' | 'unhealthy' | 'unknown';
}

/** An entry with the time it was written, RFC 3339 UTC. */
export type JournalRecord = JournalEntry & { readonly time: string };

/** An operation that ended neither committed nor reverted. */
export interface UnfinishedOperation {
  readonly prepared: JournalRecord & { readonly type: 'prepared' };
  /** Whether its `switched` record is there; `current` itself tells whether the rename happened. */
  readonly switched: boolean;
  /** Its `reverting` record, when it was already going back. */
  readonly reverting: (JournalRecord & { readonly type: 'reverting' }) | undefined;
}

/** `<root>/journal.jsonl`: one JSON record a line, fsynced before an append returns. */
export interface Journal {
  /** @throws RinglockError `disk-full` and its like; the journal is then as it was */
  append(entry: JournalEntry): Promise<void>;
  records(): readonly JournalRecord[];
  /** The last operation, if it ended neither way. */
  unfinished(): UnfinishedOperation | undefined;
  /** Keeps the newest operations (default 100) and drops the records of those before. */
  compact(keepOperations?: number): Promise<void>;
}

/**
 * Opens the journal; a last record that a crash tore is cut off.
 *
 * @throws RinglockError `journal-damaged` when a record before the last cannot be read
 */
export async function openJournal(context: StoreContext): Promise<Journal> {
  const path = journalPath(context.root);
  let { records, bytes } = await readJournal(path);
  let queue: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const turn = queue.then(work);
    queue = turn.catch(() => {});
    return turn;
  };
  return {
    records: () => records,
    unfinished: () => findUnfinished(records),
    append: (entry) =>
      inTurn(async () => {
        await context.requireOwned();
        const record = { ...entry, time: context.now().toISOString() };
        if ((await sizeOf(path)) !== bytes) await rewrite(context, path, records);
        bytes = await appendLine(context, path, bytes, `${JSON.stringify(record)}\n`);
        records = [...records, record];
      }),
    compact: (keepOperations = 100) =>
      inTurn(async () => {
        const kept = newestOperations(records, keepOperations);
        if (kept.length === records.length) return;
        await context.requireOwned();
        bytes = await rewrite(context, path, kept);
        records = kept;
      }),
  };
}

/**
 * Every record of a journal that can be read, also those after a damaged line; a torn last record, which
 * any crash may leave, is no damage.
 */
export async function readRecords(
  root: string,
): Promise<{ readonly records: readonly JournalRecord[]; readonly damagedLines: number }> {
  const lines = (await readBytes(journalPath(root))).toString('utf8').split('\n').slice(0, -1);
  const parsed = lines.map(parseRecord);
  const records = parsed.filter((record) => record !== undefined);
  const isWhole = parsed.slice(0, records.length).every((record) => record !== undefined);
  return { records, damagedLines: isWhole ? 0 : lines.length - records.length };
}

/** Writes a journal anew. */
export async function writeJournal(
  context: Pick<StoreContext, 'root' | 'fault'>,
  records: readonly JournalRecord[],
): Promise<void> {
  await rewrite(context, journalPath(context.root), records);
}

/** @returns its size */
async function rewrite(
  { fault }: Pick<StoreContext, 'fault'>,
  path: string,
  records: readonly JournalRecord[],
): Promise<number> {
  const text = records.map((record) => `${JSON.stringify(record)}\n`).join('');
  await writeFileAtomically(path, text, { mode: 0o644, fault });
  return Buffer.byteLength(text);
}

/** Not as it was left: a failed append could not be taken back, or somebody cut or deleted it. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isAbsent(error)) return 0;
    throw diskFailed(error, path);
  }
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isAbsent(error)) return Buffer.alloc(0);
    throw diskFailed(error, path);
  }
}

async function readJournal(path: string): Promise<{ records: JournalRecord[]; bytes: number }> {
  const content = await readBytes(path);
  const records: JournalRecord[] = [];
  let start = 0;
  for (let end = content.indexOf(10); end !== -1; end = content.indexOf(10, start)) {
    const record = parseRecord(content.toString('utf8', start, end));
    if (record === undefined) break;
    records.push(record);
    start = end + 1;
  }
  if (start < content.length) {
    requireTornTail(content.toString('utf8', start), records.length, path);
    await truncate(path, start).catch((error) => {
      throw diskFailed(error, path);
    });
  }
  return { records, bytes: start };
}

function parseRecord(line: string): JournalRecord | undefined {
  try {
    const record = JSON.parse(line) as JournalRecord;
    return typeof record.type === 'string' && typeof record.operationId === 'string'
      ? record
      : undefined;
  } catch {
    return undefined;
  }
}

/** A crash tears only what was written last; a good record after a bad one means another damage. */
function requireTornTail(tail: string, readable: number, path: string): void {
  if (
    !tail
      .split('\n')
      .slice(1)
      .some((line) => parseRecord(line) !== undefined)
  )
    return;
  throw environmentFailed(
    'journal-damaged',
    `${path}:${readable + 1} is no record of the journal, though records follow it`,
    {
      hint: 'What damaged it may have damaged more. ringlock reconcile --repair keeps the file in damaged/, and goes on with the records that can be read.',
    },
  );
}

async function appendLine(
  context: StoreContext,
  path: string,
  bytes: number,
  line: string,
): Promise<number> {
  try {
    await context.fault('append to the journal');
    const file = await open(path, 'a', 0o644);
    try {
      // Whatever the umask: what only looks at a root may be another user.
      if (bytes === 0) await file.chmod(0o644);
      await file.writeFile(line);
      await context.fault('sync the journal');
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    // A half-written record must not stand before the next one.
    await truncate(path, bytes).catch(() => {});
    throw diskFailed(error, path);
  }
  if (bytes === 0) await syncDirectory(context.root);
  return bytes + Buffer.byteLength(line);
}

function findUnfinished(records: readonly JournalRecord[]): UnfinishedOperation | undefined {
  const prepared = records.findLast((record) => record.type === 'prepared');
  if (prepared === undefined) return undefined;
  const own = records.filter(({ operationId }) => operationId === prepared.operationId);
  if (own.some(({ type }) => type === 'committed' || type === 'reverted')) return undefined;
  const reverting = own.findLast((record) => record.type === 'reverting');
  return { prepared, switched: own.some(({ type }) => type === 'switched'), reverting };
}

function newestOperations(records: readonly JournalRecord[], keep: number): JournalRecord[] {
  const operations = [...new Set(records.map(({ operationId }) => operationId))];
  const unfinished = findUnfinished(records)?.prepared.operationId;
  const kept = new Set(keep === 0 ? [] : operations.slice(-keep));
  return records.filter(({ operationId }) => kept.has(operationId) || operationId === unfinished);
}
