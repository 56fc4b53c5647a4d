import { environmentFailed } from '../errors.ts';
import { diskFailed } from '../store/disk-error.ts';
import type { ChainBreak } from './chain-break.ts';
import type { AuditEvent } from './event.ts';
import { chainStart } from './event-line.ts';
import { listSegments } from './journal.ts';
import { isWhole, readJournalLines } from './journal-events.ts';
import { nameJournalBreak } from './name-journal-break.ts';

/** What a root's journal proves by itself. */
export interface JournalProof {
  /** Id of the first event: the chain's name. Null without a first event, or when it is not there any more. */
  readonly chain: string | null;
  readonly segments: number;
  /** The first and the last event that hang together. */
  readonly first: AuditEvent | undefined;
  readonly last: AuditEvent | undefined;
  readonly events: number;
  /** Bytes of an append under way, or cut off by a crash: never acknowledged. */
  readonly unfinishedBytes: number;
  readonly broken: ChainBreak | null;
}

/**
 * Verifies a root's journal.
 *
 * @param directory `<root>/audit`; one that is not there has no events
 * @param see is given every event that the chain vouches for, in order
 */
export async function verifyJournal(
  directory: string,
  see: (event: AuditEvent) => Promise<void> | void = () => {},
): Promise<JournalProof> {
  const events = followJournal(directory);
  for (;;) {
    const { done, value } = await events.next();
    if (done === true) return value;
    const seen = see(value);
    if (seen !== undefined) await seen;
  }
}

/**
 * Follows the chain of a root's journal from its oldest segment to its first break, or its end. It only
 * reads, also while a reconciler appends. Yields every event that the chain vouches for, in order.
 */
async function* followJournal(directory: string): AsyncGenerator<AuditEvent, JournalProof, void> {
  const segments = await listSegments(directory);
  // Older segments that are not there any more: what is left is proven from its first event on.
  const isWholeChain = (segments[0] ?? 1) === 1;
  let first: AuditEvent | undefined;
  let last: AuditEvent | undefined;
  let events = 0;
  let unfinishedBytes = 0;
  let broken: ChainBreak | null = null;
  for await (const line of readJournalLines(directory, segments)) {
    if ('unfinishedBytes' in line) {
      unfinishedBytes = line.unfinishedBytes;
      break;
    }
    if (!isWhole(line) || !follows(line.event, last, isWholeChain)) {
      broken = await nameJournalBreak(directory, segments, last, line);
      break;
    }
    first ??= line.event;
    last = line.event;
    events += 1;
    yield line.event;
  }
  const chain = first?.sequence === 1 ? first.id : null;
  return { chain, segments: segments.length, first, last, events, unfinishedBytes, broken };
}

/**
 * The events of a root's journal in order, each vouched for by the chain, up to its end.
 *
 * @throws RinglockError `audit-journal-broken` where the chain breaks, `disk-…`
 */
export async function* provenEvents(directory: string): AsyncGenerator<AuditEvent, void, void> {
  let broken: ChainBreak | null;
  try {
    ({ broken } = yield* followJournal(directory));
  } catch (error) {
    throw diskFailed(error, directory);
  }
  if (broken === null) return;
  const { file, line, message } = broken;
  throw environmentFailed('audit-journal-broken', `${file}:${line}: ${message}`, {
    hint: 'ringlock audit verify says more. What comes before it is right.',
  });
}

function follows(event: AuditEvent, last: AuditEvent | undefined, isWholeChain: boolean): boolean {
  if (last !== undefined) {
    return event.sequence === last.sequence + 1 && event.previous === last.hash;
  }
  if (!isWholeChain) return event.sequence > 1;
  return event.sequence === 1 && event.previous === chainStart;
}
