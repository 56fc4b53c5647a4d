import { join } from 'node:path';
import type { AuditEvent } from '../audit/event.ts';
import { readJournal } from '../audit/journal.ts';
import type { LockEntry } from '../repo/lock.ts';
import { listGenerationNumbers, readGeneration } from '../store/generation.ts';

/** What the generations of a root have of a module, by version. */
export async function retainedEntries(
  root: string,
  alias: string,
): Promise<Map<string, LockEntry>> {
  const entries = new Map<string, LockEntry>();
  for (const number of await listGenerationNumbers(root)) {
    const entry = (await readGeneration(root, number))?.lock.modules.get(alias);
    if (entry !== undefined) entries.set(entry.version, entry);
  }
  return entries;
}

/**
 * What a version replaced when it first came: rolling back twice goes two back, since going back to a
 * version does not count as its coming.
 */
export async function versionBeforeOnRoot(
  root: string,
  alias: string,
  version: string,
): Promise<string | undefined> {
  const events: AuditEvent[] = [];
  for await (const { event } of readJournal(join(root, 'audit'))) {
    if (event.module === alias) events.push(event);
  }
  const came = events.findLast(
    ({ to, action, outcome }) =>
      to === version && outcome === 'succeeded' && (action === 'upgrade' || action === 'install'),
  );
  return came?.from ?? undefined;
}
