/** Where a break was found: the root's journal, Postgres, the SQLite file, or an export. */
export type ChainPlace = 'root' | 'postgres' | 'sqlite' | 'file';

/**
 * `changed`: other content than its hash, its follower or another place says. `missing`: the chain
 * goes over it. `inserted`: no event refers to it. `reordered`: it stands elsewhere. `truncated`: the
 * end is gone. `duplicated`: it is there twice.
 */
export type BreakKind =
  | 'changed'
  | 'missing'
  | 'inserted'
  | 'reordered'
  | 'truncated'
  | 'duplicated';

/** The first event that is not as it was written, in one place. */
export interface ChainBreak {
  readonly where: ChainPlace;
  readonly kind: BreakKind;
  /** The file, or the table's name. */
  readonly file: string;
  /** Line of the file, from 1; null in a table, and where a line is missing it is the next one. */
  readonly line: number | null;
  readonly sequence: number | null;
  readonly id: string | null;
  /** Hash of the event that belongs there; null when nothing tells. */
  readonly expected: string | null;
  /** Hash of what is there; null when nothing is, or it has none. */
  readonly found: string | null;
  /** What is wrong, as a sentence without file and hashes. */
  readonly message: string;
}

/** `event 7 (0198…)`, as far as it is known. */
export function eventName(sequence: number | null, id: string | null): string {
  return `event ${sequence ?? '?'}${id === null ? '' : ` (${id})`}`;
}

/** `event 4 is`, `events 4 to 6 are` */
export function eventRange(from: number, to: number): string {
  return from >= to ? `event ${from} is` : `events ${from} to ${to} are`;
}
