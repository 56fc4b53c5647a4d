import type { ChainPlace } from './chain-break.ts';
import { type ChainBreak, eventName } from './chain-break.ts';
import { type ChainReport, ChainTale, type HeadSearch } from './chain-report.ts';
import { type AllowedGaps, type ChainGroup, type ChainRow, checkChainRows } from './chain-rows.ts';

/**
 * What rows of one or more chains prove by themselves, one report a chain: those of a database, or of
 * an export. Rows come ordered by chain and number.
 */
export async function verifyRows(
  rows: AsyncIterable<ChainRow>,
  where: ChainPlace,
  gaps: AllowedGaps,
  heads: HeadSearch,
): Promise<ChainReport[]> {
  const reports: ChainReport[] = [];
  let open: OpenChain | undefined;
  for await (const group of checkChainRows(rows, where, gaps)) {
    if (open?.chain !== group.chain) {
      if (open !== undefined) reports.push(open.close());
      open = new OpenChain(group.chain, where);
    }
    open.see(group, heads);
  }
  if (open !== undefined) reports.push(open.close());
  return reports;
}

class OpenChain {
  private readonly tale = new ChainTale();
  private broken: ChainBreak | null = null;
  private extra: ChainRow | null = null;

  constructor(
    readonly chain: string,
    private readonly where: ChainPlace,
  ) {}

  see({ rows, broken, extra }: ChainGroup, heads: HeadSearch): void {
    this.broken ??= broken;
    this.extra ??= extra;
    if (this.broken !== null) return;
    for (const { event } of rows) heads.see(event, this.chain);
    const row = rows.findLast((one) => one.later !== 'same' && one !== extra) ?? rows.at(-1);
    if (row !== undefined) this.tale.see(row.event);
  }

  close(): ChainReport {
    const breaks = [this.broken, this.extra && this.beside(this.extra)];
    const [first] = breaks
      .filter((one) => one !== null)
      .sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
    return this.tale.report({ chain: this.chain, breaks: first === undefined ? [] : [first] });
  }

  /** In a chain that says that it was begun anew, an event may stand beside it. */
  private beside({ event, computed, file, line }: ChainRow): ChainBreak | null {
    if (this.tale.isRestored) return null;
    const { sequence, id } = event;
    return {
      ...{ where: this.where, kind: 'inserted', file, line, sequence, id },
      ...{ expected: null, found: computed ?? null },
      message: `${eventName(sequence, id)} stands beside another event of that number: it was put in, or its root lost it`,
    };
  }
}
