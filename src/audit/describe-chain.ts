import type { ChainBreak } from './chain-break.ts';
import type { ChainReport, ExpectedHead } from './chain-report.ts';

/** A chain's report as lines of text. */
export function describeChain(report: ChainReport): string {
  const { breaks, from, to, head, head_time } = report;
  const verdict = breaks.length === 0 ? 'unbroken' : 'BROKEN';
  const range = from === null ? 'no events' : `events ${from} to ${to}`;
  return [
    `${nameOf(report)}: ${range}, ${verdict}`,
    ...(head === null ? [] : [`  head      ${head}  (event ${to}, ${head_time})`]),
    ...placesOf(report),
    ...tellsOf(report),
    ...breaks.flatMap(describeBreak),
  ].join('\n');
}

/** Whether a head that was written down is still in the chain. */
export function describeHead({ hash, sequence, chain }: ExpectedHead): string {
  return sequence === null
    ? `head ${hash} is in no chain: it was written anew, or cut off before it, since that was noted`
    : `head ${hash} is event ${sequence} of chain ${chain ?? '(unnamed)'}`;
}

function nameOf({ chain, root, ring, replica }: ChainReport): string {
  const where = [ring, replica].filter((part) => part !== null).join('/');
  return [root, where, `chain ${chain ?? '(unnamed)'}`].filter(Boolean).join('  ');
}

function placesOf({ journal, postgres, sqlite, from, root }: ChainReport): string[] {
  const lines: string[] = [];
  if (journal !== null) {
    const torn = journal.unfinished_bytes;
    const rest = torn > 0 ? `, ${torn} bytes of an append that is not finished` : '';
    lines.push(`  journal   ${journal.segments} segments${rest}`);
    if ((from ?? 1) > 1)
      lines.push(`            proven from event ${from} on, older ones are gone`);
  }
  if (postgres !== null) {
    const { same, pending, earlier, lost } = postgres;
    const parts = [`${same} the same`, `${pending} not sent yet`];
    if (earlier > 0) parts.push(`${earlier} from before`);
    if (lost > 0) parts.push(`${lost} that only Postgres still has`);
    lines.push(`  postgres  ${parts.join(', ')}`);
  }
  if (sqlite !== null) lines.push(`  sqlite    the latest ${sqlite.same} the same`);
  if (root === null && (from ?? 1) > 1) lines.push(`            proven from event ${from} on`);
  return lines;
}

function tellsOf({ restored, repairs }: ChainReport): string[] {
  const lines = repairs.map(
    ({ sequence, time, moved_to }) =>
      `  repaired  event ${sequence}, ${time}: a broken chain was kept in ${moved_to ?? 'damaged/'}, and begun anew`,
  );
  if (restored > 0) {
    lines.push(`  restored  ${restored} events were chained again after a damage, and say so`);
  }
  return lines;
}

function describeBreak(broken: ChainBreak): string[] {
  const { where, kind, file, line, message, expected, found } = broken;
  const place = line === null ? file : `${file}:${line}`;
  const lines = [`  ${kind}  ${where === 'postgres' ? `postgres ${place}` : place}: ${message}`];
  if (expected !== null) lines.push(`    expected  ${expected}`);
  if (found !== null) lines.push(`    found     ${found}`);
  return lines;
}
