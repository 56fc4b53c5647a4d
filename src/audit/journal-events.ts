import type { AuditEvent } from './event.ts';
import { type InspectedEvent, inspectEvent } from './event-line.ts';
import { readLines } from './file-lines.ts';
import { listSegments, segmentPath } from './journal.ts';

/** A line of a journal, and what can be said of it alone. */
export interface JournalLine extends InspectedEvent {
  /** Number of its segment. */
  readonly segment: number;
  /** Path of its segment. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** False for a line that a segment followed by another one ends in the middle of. */
  readonly ended: boolean;
}

/** What no line of the journal is: the beginning of an append that is under way, or was cut off. */
export interface UnfinishedLine {
  readonly unfinishedBytes: number;
}

/**
 * Every line of a root's journal in order, whether or not it is right. A last line without its end was
 * never acknowledged, and comes as its size only.
 *
 * @param segments of the directory, in order; those that are there when it is left out
 */
export async function* readJournalLines(
  directory: string,
  segments?: readonly number[],
): AsyncGenerator<JournalLine | UnfinishedLine, void, void> {
  const numbers = segments ?? (await listSegments(directory));
  for (const [index, segment] of numbers.entries()) {
    const file = segmentPath(directory, segment);
    for await (const { number: line, text, bytes, ended } of readLines(file)) {
      if (!ended && index === numbers.length - 1) {
        yield { unfinishedBytes: bytes };
        return;
      }
      const inspected = text === undefined ? { problem: 'is not UTF-8' } : inspectEvent(text);
      const cut = ended ? {} : { problem: 'is cut off' };
      yield { segment, file, line, ended, ...inspected, ...cut };
    }
  }
}

/** Whether a line is an event that carries the hash of its own content. */
export function isWhole(line: JournalLine): line is JournalLine & { readonly event: AuditEvent } {
  return line.problem === undefined && line.event !== undefined;
}
