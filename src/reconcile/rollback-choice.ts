import { join } from 'node:path';
import type { AuditEvent } from '../audit/event.ts';
import { readJournal } from '../audit/journal.ts';
import { badInput, refused } from '../errors.ts';
import type { LockEntry } from '../repo/lock.ts';
import {
  type Generation,
  listGenerationNumbers,
  readCurrentGeneration,
  readGeneration,
} from '../store/generation.ts';

/** Which version a module goes back to, as this root alone can tell. */
export interface RollbackChoice {
  readonly alias: string;
  readonly from: string;
  readonly entry: LockEntry;
}

/**
 * Chooses the version that a root ran before the one it runs, or the one that is asked for, from its own
 * generations and audit journal: nothing else need be there.
 *
 * @param module alias or directory
 * @throws RinglockError `nothing-served`, `unknown-module`, `no-version-before`, `version-not-retained`
 */
export async function chooseRollback(
  root: string,
  module: string,
  wanted: string | undefined,
): Promise<RollbackChoice> {
  const current = await readCurrentGeneration(root);
  if (current === undefined) {
    throw refused('nothing-served', `${root} serves no generation`, {
      hint: 'Give --root the directory that a reconciler owns.',
    });
  }
  const [alias, served] = findModule(current, module);
  const retained = await retainedEntries(root, alias);
  const version = wanted ?? (await versionBefore(root, alias, served.version));
  const known = [...retained.keys()].filter((other) => other !== served.version).sort();
  const hint = `Versions kept in this root: ${known.join(', ') || 'none but the one it runs'}.`;
  if (version === undefined) {
    throw refused('no-version-before', `${alias} had no version before ${served.version} here`, {
      hint,
    });
  }
  const entry = retained.get(version);
  if (entry === undefined) {
    throw refused('version-not-retained', `${alias} ${version} is not kept in this root`, { hint });
  }
  return { alias, from: served.version, entry };
}

function findModule({ lock }: Generation, module: string): [string, LockEntry] {
  for (const [alias, entry] of lock.modules) {
    if (alias === module || entry.directory === module) return [alias, entry];
  }
  throw badInput('unknown-module', `the root serves no module ${JSON.stringify(module)}`, {
    hint: `Modules there: ${[...lock.modules.keys()].join(', ')}.`,
  });
}

async function retainedEntries(root: string, alias: string): Promise<Map<string, LockEntry>> {
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
async function versionBefore(
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
