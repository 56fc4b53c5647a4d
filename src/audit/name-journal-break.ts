import { type ChainBreak, eventName, eventRange } from './chain-break.ts';
import type { AuditEvent } from './event.ts';
import { chainStart } from './event-line.ts';
import { isWhole, type JournalLine, readJournalLines } from './journal-events.ts';

type WholeLine = JournalLine & { readonly event: AuditEvent };

/**
 * Says what happened where the chain ends: what the lines around it still say of each other tells a
 * changed event from one that was taken out, put in or moved.
 *
 * @param last the last event that the chain vouches for, if any
 * @param found the line that does not follow it
 */
export async function nameJournalBreak(
  directory: string,
  segments: readonly number[],
  last: AuditEvent | undefined,
  found: JournalLine,
): Promise<ChainBreak> {
  const surroundings = await lookAround(directory, segments, last, found);
  if (!isWhole(found)) return unreadable(found, surroundings, last);
  const { event } = found;
  const expected = surroundings.expected.sequence;
  if (event.sequence > expected) return tooLate(found, surroundings);
  if (event.sequence < expected) return tooEarly(found, surroundings, last);
  return otherPrevious(found, surroundings, last);
}

/** What the rest of the journal says about the place where the chain ends. */
interface Surroundings {
  /** Where the next event of the chain should stand in it. */
  readonly expected: { readonly sequence: number; readonly previous: string };
  /** Line of the last event of the chain. */
  lastLine: JournalLine | undefined;
  /** The first whole event behind the line found. */
  next: WholeLine | undefined;
  /** The event that follows the last one, if it stands elsewhere. */
  trueNext: WholeLine | undefined;
  /** An event that refers to the one found. */
  hasFollower: boolean;
  /** The event found stands elsewhere too. */
  isTwice: boolean;
  /** Another event further on has the same number as the one found. */
  hasRival: boolean;
}

async function lookAround(
  directory: string,
  segments: readonly number[],
  last: AuditEvent | undefined,
  found: JournalLine,
): Promise<Surroundings> {
  const expected = {
    // Where older segments are gone, the line found says itself which event it should be.
    sequence: (last?.sequence ?? (segments[0] === 1 ? 0 : (found.event?.sequence ?? 1) - 1)) + 1,
    previous: last?.hash ?? chainStart,
  };
  const result: Surroundings = {
    expected,
    lastLine: undefined,
    next: undefined,
    trueNext: undefined,
    hasFollower: false,
    isTwice: false,
    hasRival: false,
  };
  let isBehind = false;
  for await (const line of readJournalLines(directory, segments)) {
    if ('unfinishedBytes' in line) break;
    if (line.segment === found.segment && line.line === found.line) {
      isBehind = true;
      continue;
    }
    if (!isWhole(line)) continue;
    if (line.event.hash === found.event?.hash) result.isTwice = true;
    if (isBehind) lookAt(line, found.event, result);
    else result.lastLine = line;
  }
  return result;
}

function lookAt(line: WholeLine, found: AuditEvent | undefined, result: Surroundings): void {
  const { sequence, previous, hash } = line.event;
  const { expected } = result;
  result.next ??= line;
  if (sequence === expected.sequence && previous === expected.previous) result.trueNext ??= line;
  if (found === undefined || hash === found.hash) return;
  if (previous === found.hash && sequence === found.sequence + 1) result.hasFollower = true;
  if (sequence === found.sequence) result.hasRival = true;
}

/** A line that is no event, or not the one that its hash stands for. */
function unreadable(
  found: JournalLine,
  { expected, next, trueNext }: Surroundings,
  last: AuditEvent | undefined,
): ChainBreak {
  const { sequence } = expected;
  if (!found.ended) {
    return breakAt(found, 'truncated', {
      sequence,
      message: `the segment ends within event ${sequence}, and another one follows it`,
    });
  }
  if (trueNext !== undefined && trueNext === next) {
    return breakAt(found, 'inserted', {
      sequence,
      message: `a line stands between event ${last?.sequence ?? 0} and ${sequence} that ${found.problem}`,
    });
  }
  const vouched = next?.event.sequence === sequence + 1 ? next.event.previous : null;
  return breakAt(found, 'changed', {
    sequence,
    expected: vouched ?? found.event?.hash ?? null,
    message: `${eventName(sequence, found.event?.id ?? null)} ${found.problem}`,
  });
}

/** Events between the last one and this one are not here. */
function tooLate(found: WholeLine, around: Surroundings): ChainBreak {
  const { event } = found;
  const { sequence } = around.expected;
  const name = eventName(event.sequence, event.id);
  if (around.trueNext !== undefined) {
    if (around.isTwice) {
      return breakAt(found, 'duplicated', { message: `${name} is there twice` });
    }
    if (around.hasRival) {
      return breakAt(found, 'inserted', { message: `${name} is none of this chain` });
    }
    const message = `${name} stands before event ${sequence}, which stands at ${placeOf(around.trueNext)}`;
    return breakAt(found, 'reordered', { message, expected: around.trueNext.event.hash });
  }
  const missing = eventRange(sequence, event.sequence - 1);
  return breakAt(found, 'missing', {
    sequence,
    id: null,
    expected: event.sequence === sequence + 1 ? event.previous : null,
    found: null,
    message: `${missing} missing before ${name}`,
  });
}

/** An event whose number was had already. */
function tooEarly(
  found: WholeLine,
  around: Surroundings,
  last: AuditEvent | undefined,
): ChainBreak {
  const name = eventName(found.event.sequence, found.event.id);
  if (around.isTwice) return breakAt(found, 'duplicated', { message: `${name} is there twice` });
  const isRival = last !== undefined && found.event.previous === last.previous;
  if (isRival && around.hasFollower && around.lastLine !== undefined) {
    const { lastLine } = around;
    return breakAt(lastLine, 'inserted', {
      expected: found.event.hash,
      message: `${eventName(last.sequence, last.id)} was put in before the ${name} that the chain goes on with`,
    });
  }
  const message = `${name} is a second event of that number`;
  return breakAt(found, 'inserted', { message, expected: last?.hash ?? null });
}

/** The right number, and another event before it than the one that is there. */
function otherPrevious(
  found: WholeLine,
  around: Surroundings,
  last: AuditEvent | undefined,
): ChainBreak {
  const { event } = found;
  const name = eventName(event.sequence, event.id);
  if (around.hasFollower && last !== undefined && around.lastLine !== undefined) {
    return breakAt(around.lastLine, 'changed', {
      expected: event.previous,
      message: `${eventName(last.sequence, last.id)} was changed and its hash computed anew: ${name} follows another`,
    });
  }
  if (around.trueNext !== undefined) {
    const message = `${name} was put in before the event that the chain goes on with`;
    return breakAt(found, 'inserted', { message, expected: around.trueNext.event.hash });
  }
  const { next } = around;
  const isLast = next === undefined && last !== undefined;
  return breakAt(found, 'changed', {
    expected: next?.event.sequence === event.sequence + 1 ? next.event.previous : null,
    message: isLast
      ? `${name} does not follow event ${last.sequence}: one of the two was changed and its hash computed anew`
      : `${name} was changed and its hash computed anew`,
  });
}

function placeOf({ file, line }: JournalLine): string {
  return `${file}:${line}`;
}

type Said = Pick<ChainBreak, 'message'> &
  Partial<Pick<ChainBreak, 'sequence' | 'id' | 'expected' | 'found'>>;

function breakAt(line: JournalLine, kind: ChainBreak['kind'], said: Said): ChainBreak {
  const { event, computed } = line;
  return {
    where: 'root',
    kind,
    file: line.file,
    line: line.line,
    sequence: event?.sequence ?? null,
    id: event?.id ?? null,
    expected: null,
    found: computed ?? null,
    ...said,
  };
}
