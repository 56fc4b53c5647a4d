import { join } from 'node:path';
import type { AuditEvent } from '../audit/event.ts';
import { readJournal } from '../audit/journal.ts';
import type { LockEntry } from '../repo/lock.ts';
import { type Generation, listGenerationNumbers, readGeneration } from '../store/generation.ts';

/** A version of a module that a root keeps. */
export interface RetainedVersion {
  readonly entry: LockEntry;
  /** The newest that has it. */
  readonly generation: Generation;
}

/** The generations that a root keeps, oldest first. */
export async function retainedGenerations(root: string): Promise<Generation[]> {
  const numbers = await listGenerationNumbers(root);
  const read = await Promise.all(numbers.map((number) => readGeneration(root, number)));
  return read.filter((generation) => generation !== undefined);
}

/** What generations have of a module, by version. */
export function retainedVersions(
  generations: readonly Generation[],
  alias: string,
): ReadonlyMap<string, RetainedVersion> {
  const versions = new Map<string, RetainedVersion>();
  for (const generation of generations) {
    const entry = generation.lock.modules.get(alias);
    if (entry !== undefined) versions.set(entry.version, { entry, generation });
  }
  return versions;
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
