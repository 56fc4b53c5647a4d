import { refused } from '../errors.ts';
import { findIncompatibilities, type GraphModule, type GraphModules } from './graph.ts';
import { type Lock, type LockEntry, versionDirection } from './lock.ts';
import { withLockEntry } from './lock-edit.ts';
import type { Ring } from './ring.ts';

/** A module's new entry, with what it needs. */
export interface NewPin {
  readonly alias: string;
  readonly entry: LockEntry;
  readonly module: GraphModule;
}

/** The text of a lock with entries put in; every other byte stays. */
export function withPins(text: string, pins: readonly NewPin[]): string {
  return pins.reduce((edited, { alias, entry }) => withLockEntry(edited, alias, entry), text);
}

/** @throws RinglockError `held` when a hold keeps a module at another version */
export function refuseHeldPins(ring: Ring, pins: readonly NewPin[]): void {
  for (const { alias, entry } of pins) {
    const hold = ring.holds.get(alias);
    if (hold === undefined || hold.version === entry.version) continue;
    throw refused(
      'held',
      `${alias} is held at ${hold.version} in ${ring.name} (${hold.reason}), so ${entry.version} is not pinned`,
      { hint: `End the hold first: ringlock unhold ${alias} --ring ${ring.name}` },
    );
  }
}

/**
 * Refuses what new pins would break in a lock. What was broken before and has nothing to do with them
 * does not block.
 *
 * @param graph of the lock's modules as they are
 * @param platform that they are to run on; default the lock's
 * @throws RinglockError `incompatible-lock`, naming each reason
 */
export function refuseNewIncompatibilities(
  { ring, platform: before }: Pick<Lock, 'ring' | 'platform'>,
  graph: GraphModules,
  pins: GraphModules,
  hint: string,
  platform = before,
): void {
  const known = new Set(findIncompatibilities(graph, before).map(({ message }) => message));
  const after = new Map([...graph, ...pins]);
  const incompatible = findIncompatibilities(after, platform).filter(
    (found) => pins.has(found.alias) || !known.has(found.message),
  );
  if (incompatible.length === 0) return;
  const reasons = incompatible.map(({ message }) => `  ${message}`).join('\n');
  const names =
    [...pins].map(([alias, { version }]) => `${alias} ${version}`).join(', ') ||
    `What is there with platform ${platform}`;
  throw refused('incompatible-lock', `${names} cannot run in ${ring}:\n${reasons}`, {
    hint,
    details: { incompatible },
  });
}

export type PinCommand = 'install' | 'upgrade' | 'rollback';

/**
 * Refuses a version that is for another command to bring.
 *
 * @param present the version that is there; undefined when the module is not
 * @param where what the message and the command to use instead call the place: `ring stable`, `--ring stable`
 * @throws RinglockError `other-version-installed`, `not-installed`, `downgrade`, `not-a-rollback`
 */
export function refuseWrongCommand(
  command: PinCommand,
  alias: string,
  present: string | undefined,
  wanted: string,
  where: { readonly place: string; readonly option: string },
): void {
  if (present === undefined) {
    if (command === 'install') return;
    throw refused('not-installed', `${where.place} has no ${alias}`, {
      hint: `To bring it there: ringlock install ${alias}@${wanted} ${where.option}`,
    });
  }
  const direction = versionDirection(present, wanted);
  const instead =
    direction === 'down'
      ? `ringlock rollback ${alias} --to ${wanted} ${where.option}`
      : `ringlock upgrade ${alias} --to ${wanted} ${where.option}`;
  const is = `${where.place} has ${alias} ${present}`;
  if (command === 'install' && direction !== 'same') {
    throw refused('other-version-installed', `${is}, install does not replace it by ${wanted}`, {
      hint: `To move it: ${instead}`,
    });
  }
  if (command === 'upgrade' && direction === 'down') {
    throw refused('downgrade', `${is}, ${wanted} is lower: that is no upgrade`, {
      hint: `To go back on purpose: ${instead}`,
    });
  }
  if (command === 'rollback' && direction === 'up') {
    throw refused('not-a-rollback', `${is}, ${wanted} is higher: that is no rollback`, {
      hint: `To go forward: ${instead}`,
    });
  }
}
