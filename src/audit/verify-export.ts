import { stat } from 'node:fs/promises';
import { badInput } from '../errors.ts';
import { diskFailed, isAbsent } from '../store/disk-error.ts';
import { eventName } from './chain-break.ts';
import type { ChainReport, HeadSearch } from './chain-report.ts';
import type { AllowedGaps, ChainRow } from './chain-rows.ts';
import { hashOfContent } from './event-line.ts';
import { type ExportRow, eventOfExport } from './export-row.ts';
import { readLines } from './file-lines.ts';
import { verifyRows } from './verify-rows.ts';

/**
 * Verifies an export (JSONL) by itself. One that was filtered has gaps, which then have to be allowed.
 *
 * @throws RinglockError `no-such-export`, `not-an-export`
 */
export async function verifyExport(
  path: string,
  gaps: AllowedGaps,
  heads: HeadSearch,
): Promise<ChainReport[]> {
  try {
    await stat(path);
    const reports = await verifyRows(readExport(path), 'file', gaps, heads);
    const named: ChainReport[] = [];
    for (const report of reports) named.push(await withOrder(path, report));
    return named;
  } catch (error) {
    if (!isAbsent(error)) throw diskFailed(error, path);
    throw badInput('no-such-export', `${path} is not there, expected an export as JSONL`);
  }
}

/** An event that is missing where it belongs, and stands elsewhere in the file, was moved. */
async function withOrder(path: string, report: ChainReport): Promise<ChainReport> {
  const [broken] = report.breaks;
  if (broken?.kind !== 'missing') return report;
  let instead: ChainRow | undefined;
  for await (const row of readExport(path)) {
    if (row.line === broken.line) instead = row;
    if (row.chain !== report.chain || row.event.sequence !== broken.sequence) continue;
    if (instead === undefined) return report;
    const { sequence, id } = instead.event;
    const message = `${eventName(sequence, id)} stands before event ${broken.sequence}, which stands in line ${row.line}`;
    const found = instead.computed ?? null;
    const moved = { ...broken, kind: 'reordered', sequence, id, found, message } as const;
    return { ...report, breaks: [moved] };
  }
  return report;
}

async function* readExport(path: string): AsyncGenerator<ChainRow> {
  for await (const { number, text, ended } of readLines(path)) {
    const row = text === undefined || !ended ? undefined : parseRow(text);
    if (row === undefined) {
      throw badInput(
        'not-an-export',
        `${path}:${number} is ${ended ? 'no exported event' : 'cut off'}, expected one as JSON on each line`,
        {
          hint: 'Exports that are to be verified are made with: ringlock audit export --format jsonl',
        },
      );
    }
    const event = eventOfExport(row);
    yield {
      chain: row.chain ?? '',
      event,
      computed: hashOfContent(event),
      copy: row.copy,
      later: 'none',
      file: path,
      line: number,
    };
  }
}

function parseRow(text: string): ExportRow | undefined {
  try {
    const row = JSON.parse(text) as Partial<ExportRow> | null;
    const texts = [row?.id, row?.time, row?.previous, row?.hash];
    const isRow =
      Number.isSafeInteger(row?.sequence) && texts.every((value) => typeof value === 'string');
    return isRow ? (row as ExportRow) : undefined;
  } catch {
    return undefined;
  }
}
