import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** An event of a root's journal, as far as the checker looks at it. */
export interface JournalEvent {
  readonly id: string;
  readonly sequence: number;
  readonly previous: string;
  readonly hash: string;
  readonly operationId: string;
  readonly action: string;
  readonly module: string | null;
  readonly from: string | null;
  readonly to: string | null;
  readonly digest: string | null;
  readonly outcome: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface JournalText {
  readonly events: readonly JournalEvent[];
  /** What is wrong with the chain, in words. */
  readonly broken: readonly string[];
  /** Whether the last line has no end. */
  readonly torn: boolean;
}

/** Reads the journal's segments in order and follows the chain through them. */
export async function readAuditJournal(root: string): Promise<JournalText> {
  const directory = join(root, 'audit');
  const names = (await readdir(directory).catch(() => []))
    .filter((name) => /^journal-\d+\.jsonl$/.test(name))
    .sort();
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  const events: JournalEvent[] = [];
  const broken: string[] = [];
  let previous = '0'.repeat(64);
  for (const [index, text] of texts.entries()) {
    const lines = text.split('\n');
    const rest = lines.pop();
    if (rest !== '' && index < texts.length - 1) broken.push(`${names[index]} is cut off`);
    for (const line of lines) {
      const event = parse(line);
      if (event === undefined) {
        broken.push(`event ${events.length + 1} is not JSON`);
        continue;
      }
      const { hash, ...unsigned } = event;
      const what = `event ${events.length + 1}`;
      if (canonical(event) !== line) broken.push(`${what} is not canonical`);
      if (hashOf(canonical(unsigned)) !== hash) broken.push(`${what} differs from its hash`);
      if (event.previous !== previous) broken.push(`${what} does not follow the one before`);
      if (event.sequence !== events.length + 1) broken.push(`${what} says ${event.sequence}`);
      previous = hash;
      events.push(event);
    }
  }
  return { events, broken, torn: !(texts.at(-1) ?? '\n').endsWith('\n') && texts.at(-1) !== '' };
}

function parse(line: string): JournalEvent | undefined {
  try {
    return JSON.parse(line) as JournalEvent;
  } catch {
    return undefined;
  }
}

/** RFC 8785 for what JSON.parse() gives: names sorted by UTF-16 code units, values as ECMAScript has them. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map(
      (name) =>
        `${JSON.stringify(name)}:${canonical((value as Readonly<Record<string, unknown>>)[name])}`,
    );
  return `{${members.join(',')}}`;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** A whole operation that made a generation visible. */
export interface VisibleOperation {
  readonly id: string;
  readonly from: number | null;
  readonly to: number;
  readonly commit: unknown;
  /** Whether it went back to where it came from. */
  readonly isReverted: boolean;
  readonly steps: readonly JournalEvent[];
  /** Its steps taken back; none unless it was reverted. */
  readonly undone: readonly JournalEvent[];
  readonly saidSteps: unknown;
}

const stepActions = new Set(['install', 'upgrade', 'downgrade', 'repair', 'remove']);
const visibleOutcomes = new Set(['succeeded', 'superseded', 'reverted']);

/** Every event that says that a generation became visible, with the steps of its operation. */
export function visibleOperations(events: readonly JournalEvent[]): VisibleOperation[] {
  return events.flatMap(({ action, outcome, operationId, detail }) => {
    const to = detail['to_generation'];
    const from = detail['from_generation'];
    if (action !== 'operation' || !visibleOutcomes.has(outcome) || typeof to !== 'number') {
      return [];
    }
    const stepsOf = (wanted: string) =>
      events.filter(
        (event) =>
          event.operationId === operationId &&
          stepActions.has(event.action) &&
          event.outcome === wanted,
      );
    return [
      {
        id: operationId,
        from: typeof from === 'number' ? from : null,
        to,
        commit: detail['commit'],
        isReverted: outcome === 'reverted',
        steps: stepsOf('succeeded'),
        undone: stepsOf('reverted'),
        saidSteps: detail['steps'],
      },
    ];
  });
}

/** What `current` showed after an operation. */
export function endOf({ isReverted, from, to }: VisibleOperation): number | null {
  return isReverted ? from : to;
}
