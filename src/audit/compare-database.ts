import { type ChainBreak, eventName, eventRange } from './chain-break.ts';
import type { ChainGroup, ChainRow } from './chain-rows.ts';
import type { AuditEvent } from './event.ts';

/** What Postgres has of a root's chain. */
export interface DatabaseComparison {
  /** Events that are there as they are here. */
  readonly same: number;
  /** Events that are not there yet: the root does not say that they were delivered. */
  readonly pending: number;
  /** Rows of the time before the oldest segment that the root still has. */
  readonly earlier: number;
  /** Events that only Postgres still has, in a chain that says it was damaged and begun anew. */
  readonly lost: number;
  readonly broken: ChainBreak | null;
}

/**
 * Compares a root's chain with the same chain in Postgres, both read side by side in the order of their
 * numbers. The rows are from a snapshot taken before the journal is read, so that whatever is in it has
 * to be in the journal too, also while a reconciler appends and delivers.
 */
export class DatabaseComparer {
  private group: ChainGroup | undefined;
  private isRead = false;
  private same = 0;
  private pending = 0;
  private earlier = 0;
  private lost = 0;
  private firstLost: ChainRow | undefined;
  private broken: ChainBreak | null = null;

  /** @param delivered number of the last event that the root knew to be delivered, before the snapshot */
  constructor(
    private readonly groups: AsyncGenerator<ChainGroup, void, void>,
    private readonly delivered: number,
  ) {}

  async see(event: AuditEvent): Promise<void> {
    if (this.broken !== null) return;
    let group = await this.current();
    while (group !== undefined && group.sequence < event.sequence) {
      this.earlier += group.rows.length;
      this.broken ??= group.broken;
      group = await this.advance();
    }
    if (group === undefined) return this.seeBehindEnd(event);
    if (group.sequence > event.sequence) {
      this.broken = missing(event, group.sequence - 1);
      return;
    }
    this.compare(event, group);
    await this.advance();
  }

  /**
   * @param last the last event of the root
   * @param isWhole whether the root's chain was followed to its end
   * @param isRestored whether the root's chain says that it was damaged before
   */
  async end(
    last: AuditEvent | undefined,
    isWhole: boolean,
    isRestored: boolean,
  ): Promise<DatabaseComparison> {
    if (this.broken === null && isWhole) await this.seeRest();
    const { firstLost: row } = this;
    if (row !== undefined && !isRestored) this.broken ??= lostOrInserted(row, last);
    await this.groups.return();
    const { same, pending, earlier, lost, broken } = this;
    return { same, pending, earlier, lost, broken };
  }

  private async current(): Promise<ChainGroup | undefined> {
    return this.isRead ? this.group : this.advance();
  }

  private async advance(): Promise<ChainGroup | undefined> {
    const next = await this.groups.next();
    this.isRead = true;
    this.group = next.done === true ? undefined : next.value;
    return this.group;
  }

  private seeBehindEnd(event: AuditEvent): void {
    if (event.sequence > this.delivered) {
      this.pending += 1;
      return;
    }
    const { sequence, id } = event;
    this.broken = {
      ...inTable(event, 'truncated'),
      message: `${eventRange(sequence, this.delivered)} missing at the end, from ${eventName(sequence, id)} on, which outbox.json says were delivered`,
    };
  }

  private compare(event: AuditEvent, { rows, broken }: ChainGroup): void {
    const match = rows.find(
      ({ event: { hash }, computed }) => hash === event.hash && computed === hash,
    );
    if (match === undefined) {
      const row = rows.find(({ event: { id } }) => id === event.id);
      this.broken = row === undefined ? missing(event, event.sequence) : changed(event, row);
      return;
    }
    this.same += 1;
    for (const row of rows) if (row !== match && row.later !== 'same') this.keepLost(row);
    this.broken ??= broken;
  }

  private async seeRest(): Promise<void> {
    for (let group = await this.current(); group !== undefined; group = await this.advance()) {
      this.broken ??= group.broken;
      for (const row of group.rows) if (row.later !== 'same') this.keepLost(row);
    }
  }

  private keepLost(row: ChainRow): void {
    this.lost += 1;
    this.firstLost ??= row;
  }
}

function missing(event: AuditEvent, to: number): ChainBreak {
  const { sequence, id } = event;
  const range = eventRange(sequence, to);
  const message = `${range} missing, from ${eventName(sequence, id)} on, and later ones are there`;
  return { ...inTable(event, 'missing'), message };
}

function inTable({ sequence, id, hash }: AuditEvent, kind: ChainBreak['kind']) {
  return {
    ...{ where: 'postgres' as const, kind, file: 'audit_events', line: null, sequence, id },
    ...{ expected: hash, found: null },
  };
}

function changed(event: AuditEvent, { event: other, computed, file }: ChainRow): ChainBreak {
  const fields = (Object.keys(event) as (keyof AuditEvent)[]).filter(
    (name) => JSON.stringify(sorted(event[name])) !== JSON.stringify(sorted(other[name])),
  );
  return {
    ...inTable(event, 'changed'),
    file,
    found: computed ?? null,
    message: `${eventName(event.sequence, event.id)} has another ${fields.join(', ') || 'content'} than in the root`,
  };
}

/** Postgres gives the members of an object in an order of its own. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return members.map(([name, held]) => [name, sorted(held)]);
}

function lostOrInserted(
  { event, computed, file }: ChainRow,
  last: AuditEvent | undefined,
): ChainBreak {
  const { sequence, id } = event;
  const name = eventName(sequence, id);
  if (sequence > (last?.sequence ?? 0)) {
    return {
      ...{ where: 'root', kind: 'truncated', file: 'audit', line: null, sequence, id },
      ...{ expected: event.hash, found: null },
      message: `${name} and what follows it is in Postgres, and the root ends with event ${last?.sequence ?? 0}`,
    };
  }
  return {
    ...{ where: 'postgres', kind: 'inserted', file, line: null, sequence, id },
    ...{ expected: null, found: computed ?? null },
    message: `${name} is in Postgres and not in the root: it was put in there, or lost here`,
  };
}
