import { type ChainBreak, type ChainPlace, eventName, eventRange } from './chain-break.ts';
import type { AuditEvent } from './event.ts';
import { chainStart } from './event-line.ts';

/** An event of a chain as a table or an export has it. */
export interface ChainRow {
  /** The chain's name: the id of its first event. */
  readonly chain: string;
  readonly event: AuditEvent;
  /** Hash of its content; undefined when that has none. */
  readonly computed: string | undefined;
  /** 0 as the event came first, else the greater the later it was chained anew. */
  readonly copy: number;
  /** Whether the event was chained anew later (decision 0010), telling the same or something else. */
  readonly later: 'none' | 'same' | 'other';
  /** The table or file. */
  readonly file: string;
  /** From 1; null in a table. */
  readonly line: number | null;
}

/** All rows of one chain with one number: one, but where the chain was begun anew before it. */
export interface ChainGroup {
  readonly chain: string;
  readonly sequence: number;
  readonly rows: readonly ChainRow[];
  /** The first thing that is wrong with it, as the rows around it say. */
  readonly broken: ChainBreak | null;
  /** A row beside the chain: another event has its number, and it was not chained anew. */
  readonly extra: ChainRow | null;
}

/**
 * What may be absent without a break: nothing, what came before the first row of a chain, or any row
 * (of what was filtered).
 */
export type AllowedGaps = 'none' | 'beginning' | 'any';

/**
 * Groups rows that come ordered by chain and number, and checks each: its own hash, and that the event
 * before it is there. No more than three groups are in memory.
 */
export async function* checkChainRows(
  rows: AsyncIterable<ChainRow>,
  where: ChainPlace,
  gaps: AllowedGaps,
): AsyncGenerator<ChainGroup, void, void> {
  let before: RawGroup | undefined;
  let current: RawGroup | undefined;
  for await (const next of groupRows(rows)) {
    if (current !== undefined) yield checked(before, current, next, where, gaps);
    before = current;
    current = next;
  }
  if (current !== undefined) yield checked(before, current, undefined, where, gaps);
}

type RawGroup = readonly [ChainRow, ...ChainRow[]];

async function* groupRows(rows: AsyncIterable<ChainRow>): AsyncGenerator<RawGroup, void, void> {
  let group: [ChainRow, ...ChainRow[]] | undefined;
  for await (const row of rows) {
    if (group !== undefined && isSameChain(group, row) && numberOf(group) === row.event.sequence) {
      group.push(row);
      continue;
    }
    if (group !== undefined) yield group;
    group = [row];
  }
  if (group !== undefined) yield group;
}

function checked(
  before: RawGroup | undefined,
  rows: RawGroup,
  after: RawGroup | undefined,
  where: ChainPlace,
  gaps: AllowedGaps,
): ChainGroup {
  const previous = before !== undefined && isSameChain(before, rows[0]) ? before : undefined;
  const next = after !== undefined && isSameChain(after, rows[0]) ? after : undefined;
  const said =
    wrongHash(rows, next) ??
    twice(rows) ??
    contradicted(rows) ??
    wrongOrder(previous, rows) ??
    gap(previous, rows, gaps) ??
    wrongPrevious(previous, rows, next);
  return {
    chain: rows[0].chain,
    sequence: numberOf(rows),
    rows,
    broken: said === undefined ? null : breakOf(said, where),
    extra: extraOf(rows, next),
  };
}

function extraOf(rows: RawGroup, next: RawGroup | undefined): ChainRow | null {
  const latest = rows.filter(({ later }) => later !== 'same');
  if (latest.length < 2) return null;
  const loose = latest.find(({ event }) => !next?.some((row) => row.event.previous === event.hash));
  return loose ?? latest.at(-1) ?? null;
}

interface Said extends Pick<ChainBreak, 'kind' | 'message'> {
  readonly row: ChainRow;
  readonly expected?: string | null;
  /** When no row is there. */
  readonly missing?: number;
}

function wrongHash(rows: RawGroup, next: RawGroup | undefined): Said | undefined {
  const row = rows.find(({ event, computed }) => computed !== event.hash);
  if (row === undefined) return undefined;
  const message = `${nameOf(row)} differs from its hash`;
  const vouched = rows.length === 1 ? followerOf(rows, next)?.event.previous : undefined;
  return { kind: 'changed', row, expected: vouched ?? row.event.hash, message };
}

function twice(rows: RawGroup): Said | undefined {
  const row = rows.find(({ event }, index) =>
    rows.slice(0, index).some((other) => other.event.hash === event.hash),
  );
  return row && { kind: 'duplicated', row, message: `${nameOf(row)} is there twice` };
}

function contradicted(rows: RawGroup): Said | undefined {
  const row = rows.find(({ later }) => later === 'other');
  if (row === undefined) return undefined;
  const message = `${nameOf(row)} was changed: its root tells it otherwise in audit_rechained`;
  return { kind: 'changed', row, expected: null, message };
}

function wrongOrder(previous: RawGroup | undefined, rows: RawGroup): Said | undefined {
  if (previous === undefined || numberOf(previous) < numberOf(rows)) return undefined;
  const message = `${nameOf(rows[0])} stands behind event ${numberOf(previous)}`;
  return { kind: 'reordered', row: rows[0], message };
}

function gap(previous: RawGroup | undefined, rows: RawGroup, gaps: AllowedGaps): Said | undefined {
  const from = previous === undefined ? 1 : numberOf(previous) + 1;
  const to = numberOf(rows) - 1;
  if (to < from || gaps === 'any' || (previous === undefined && gaps === 'beginning')) {
    return undefined;
  }
  const [row] = rows;
  const expected = from === to ? row.event.previous : null;
  const message = `${eventRange(from, to)} missing before ${nameOf(row)}`;
  return { kind: 'missing', row, expected, missing: from, message };
}

function wrongPrevious(
  previous: RawGroup | undefined,
  rows: RawGroup,
  next: RawGroup | undefined,
): Said | undefined {
  if (numberOf(rows) !== (previous === undefined ? 1 : numberOf(previous) + 1)) return undefined;
  const known = previous?.map(({ event }) => event.hash) ?? [chainStart];
  const row = rows.find(({ event }) => !known.includes(event.previous));
  if (row === undefined) return undefined;
  const expected = row.event.previous;
  if (previous === undefined) {
    const message = `${nameOf(row)} is not the first of its chain`;
    return { kind: 'changed', row, expected: null, message };
  }
  const isFollowed = next?.some(({ event }) => event.previous === row.event.hash) ?? false;
  const isAlone = previous.length === 1 && rows.length === 1;
  if (isAlone && isFollowed) {
    const message = `${nameOf(previous[0])} was changed and its hash computed anew: ${nameOf(row)} follows another`;
    return { kind: 'changed', row: previous[0], expected, message };
  }
  if (isAlone) {
    const message = `${nameOf(row)} does not follow event ${numberOf(previous)}: one of the two was changed and its hash computed anew`;
    const vouched = followerOf(rows, next)?.event.previous;
    return { kind: 'changed', row, expected: vouched ?? null, message };
  }
  const isBeside = rows.some(({ event }) => known.includes(event.previous));
  if (isBeside) {
    const message = `${nameOf(row)} follows no event that is there: it was put in, or the one before it was deleted`;
    return { kind: 'inserted', row, expected: null, message };
  }
  const message = `the event before ${nameOf(row)} is missing`;
  return { kind: 'missing', row, expected, missing: numberOf(previous), message };
}

function followerOf(rows: RawGroup, next: RawGroup | undefined): ChainRow | undefined {
  return next !== undefined && numberOf(next) === numberOf(rows) + 1 ? next[0] : undefined;
}

function breakOf({ row, kind, message, expected, missing }: Said, where: ChainPlace): ChainBreak {
  const { event, computed, file, line } = row;
  return {
    where,
    kind,
    file,
    line,
    sequence: missing ?? event.sequence,
    id: missing === undefined ? event.id : null,
    expected: expected ?? null,
    found: missing === undefined ? (computed ?? null) : null,
    message,
  };
}

function nameOf({ event }: ChainRow): string {
  return eventName(event.sequence, event.id);
}

function numberOf(rows: RawGroup): number {
  return rows[0].event.sequence;
}

function isSameChain(rows: RawGroup, { chain }: ChainRow): boolean {
  return rows[0].chain === chain;
}
