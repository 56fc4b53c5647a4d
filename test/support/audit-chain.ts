import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import type { AuditEvent, AuditEventInput } from '../../src/audit/event.ts';
import { formatEvent } from '../../src/audit/event-line.ts';
import { sampleEvent } from './audit-event.ts';
import { temporaryDirectory } from './temporary.ts';

/** A root with a journal of so many events, in segments of about three. */
export async function makeChain(
  t: TestContext,
  count: number,
  changes: (index: number) => Partial<AuditEventInput> = () => ({}),
): Promise<{ root: string; directory: string; events: AuditEvent[] }> {
  const root = temporaryDirectory(t, 'root');
  const directory = join(root, 'audit');
  const log = await openAuditLog({ directory, segmentBytes: 1500 });
  const events: AuditEvent[] = [];
  for (let index = 0; index < count; index++) {
    events.push(...(await log.append([sampleEvent(changes(index))])));
  }
  await log.close();
  return { root, directory, events };
}

/** Names of a journal's segments, in order. */
export function segmentsOf(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith('journal-'))
    .sort();
}

/** The lines of a journal with the segment each is in, and a way to write them back changed. */
export function editJournal(directory: string) {
  const lines = segmentsOf(directory).flatMap((segment) =>
    readFileSync(join(directory, segment), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((text) => ({ segment, text })),
  );
  return {
    lines,
    write: (changed: readonly { readonly segment: string; readonly text: string }[]) => {
      for (const segment of segmentsOf(directory)) {
        const texts = changed.filter((line) => line.segment === segment).map(({ text }) => text);
        writeFileSync(join(directory, segment), texts.map((text) => `${text}\n`).join(''));
      }
    },
  };
}

/** The line of an event after somebody changed it and computed its hash anew. */
export function forgedLine(line: string, changes: Partial<AuditEvent>): string {
  const { hash: _, ...event } = { ...(JSON.parse(line) as AuditEvent), ...changes };
  const { sequence, time, previous, ...input } = event;
  return formatEvent(input, { sequence, time, previous }).line;
}
