import { canonicalJson } from './event-line.ts';
import { type ExportRow, exportColumns } from './export-row.ts';

/** The names of the columns. */
export function csvHeader(): string {
  return `${exportColumns.join(',')}\r\n`;
}

/**
 * One row as RFC 4180 has it, with CRLF at its end; `null` is an empty cell, an object canonical JSON.
 *
 * A text that a spreadsheet would take for a formula gets an apostrophe before it, by which
 * spreadsheets know text (OWASP, CSV injection): what an actor's name says must not run on the machine
 * of whoever opens the file. Exports that are to be verified again are JSONL.
 */
export function csvRow(row: ExportRow): string {
  return `${exportColumns.map((name) => csvCell(row[name])).join(',')}\r\n`;
}

function csvCell(value: unknown): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'string' ? value : canonicalJson(value);
  const safe = /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
