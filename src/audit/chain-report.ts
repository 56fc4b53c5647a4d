import { badInput } from '../errors.ts';
import type { ChainBreak } from './chain-break.ts';
import type { DatabaseComparison } from './compare-database.ts';
import type { SqliteComparison } from './compare-sqlite.ts';
import type { AuditEvent } from './event.ts';

/** What is proven of one chain, and where it breaks first in each place that it was looked for in. */
export interface ChainReport {
  /** Its name: the id of its first event; null when that is not known. */
  readonly chain: string | null;
  /** The root's directory, when that was read. */
  readonly root: string | null;
  /** Of its last event. */
  readonly ring: string | null;
  readonly replica: string | null;
  /** Number of the first and the last event that hang together; null without any. */
  readonly from: number | null;
  readonly to: number | null;
  readonly events: number;
  /** Hash of the last of them: whoever keeps it elsewhere can show later that nothing before it changed. */
  readonly head: string | null;
  /** RFC 3339, UTC; of that event. */
  readonly head_time: string | null;
  /** What the chain says of earlier damage (decision 0010). */
  readonly restored: number;
  readonly repairs: readonly ChainRepair[];
  readonly journal: { readonly segments: number; readonly unfinished_bytes: number } | null;
  readonly postgres: Omit<DatabaseComparison, 'broken'> | null;
  readonly sqlite: Omit<SqliteComparison, 'broken'> | null;
  /** The first in each place, the journal's first. */
  readonly breaks: readonly ChainBreak[];
}

/** A broken chain was kept aside, and begun anew. */
export interface ChainRepair {
  readonly sequence: number;
  readonly id: string;
  readonly time: string;
  readonly found: string | null;
  /** Where the segments are kept, relative to the root. */
  readonly moved_to: string | null;
}

/** Follows what a chain says of itself, event by event. */
export class ChainTale {
  private first: AuditEvent | undefined;
  private last: AuditEvent | undefined;
  private events = 0;
  private restored = 0;
  private readonly repairs: ChainRepair[] = [];

  see(event: AuditEvent): void {
    this.first ??= event;
    this.last = event;
    this.events += 1;
    if (event.detail['restored_from'] !== undefined) this.restored += 1;
    this.repairs.push(...repairsOf(event));
  }

  get isRestored(): boolean {
    return this.restored > 0 || this.repairs.length > 0;
  }

  report(facts: Pick<ChainReport, 'chain' | 'breaks'> & Partial<ChainReport>): ChainReport {
    const { first, last } = this;
    return {
      root: null,
      ring: last?.ring ?? null,
      replica: last?.replica ?? null,
      from: first?.sequence ?? null,
      to: last?.sequence ?? null,
      events: this.events,
      head: last?.hash ?? null,
      head_time: last?.time ?? null,
      restored: this.restored,
      repairs: this.repairs,
      ...{ journal: null, postgres: null, sqlite: null },
      ...facts,
    };
  }
}

function repairsOf({ action, detail, sequence, id, time }: AuditEvent): ChainRepair[] {
  const repairs = action === 'operator' ? detail['repairs'] : undefined;
  if (!Array.isArray(repairs)) return [];
  return repairs
    .filter((repair) => repair?.path === 'audit')
    .map(({ found, moved_to }) => ({
      ...{ sequence, id, time },
      found: typeof found === 'string' ? found : null,
      moved_to: typeof moved_to === 'string' ? moved_to : null,
    }));
}

/** A hash that was written down as the head of a chain, and the event that has it. */
export interface ExpectedHead {
  readonly hash: string;
  /** Null when no event has it: the chain was written anew, or its end cut off, since. */
  readonly sequence: number | null;
  readonly chain: string | null;
}

/** Looks for heads that were written down elsewhere. */
export class HeadSearch {
  private readonly found = new Map<string, { sequence: number; chain: string | null }>();

  /** @throws RinglockError `invalid-head` */
  constructor(private readonly hashes: readonly string[]) {
    for (const hash of hashes) {
      if (!/^[0-9a-f]{64}$/.test(hash)) {
        throw badInput(
          'invalid-head',
          `${JSON.stringify(hash)} is no head of a chain, expected 64 hexadecimal digits in lower case`,
        );
      }
    }
  }

  see({ hash, sequence }: AuditEvent, chain: string | null): void {
    if (this.hashes.includes(hash)) this.found.set(hash, { sequence, chain });
  }

  get heads(): ExpectedHead[] {
    return this.hashes.map((hash) => ({
      hash,
      sequence: null,
      chain: null,
      ...this.found.get(hash),
    }));
  }
}
