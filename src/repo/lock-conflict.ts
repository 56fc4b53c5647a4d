import semver from 'semver';
import { refused } from '../errors.ts';
import { type Lock, type LockEntry, parseLock, samePin } from './lock.ts';
import { lockFile } from './names.ts';

/** A lock in the middle of a merge, as both sides have it; what git merged by itself is in both. */
export interface ConflictedLock {
  readonly ours: Lock;
  readonly theirs: Lock;
}

/** A module on which the sides of a merge disagree; undefined: that side does not have it. */
export interface EntryConflict {
  readonly alias: string;
  readonly ours: LockEntry | undefined;
  readonly theirs: LockEntry | undefined;
}

/**
 * Reads both sides of a lock file that git left with conflict markers.
 *
 * @throws RinglockError `lock-conflict` when the markers are not whole, or a side is not a lock
 */
export function parseConflictedLock(text: string, ring: string): ConflictedLock {
  const file = lockFile(ring);
  const { ours, theirs } = splitConflict(text, file);
  try {
    return { ours: parseLock(ours, ring), theirs: parseLock(theirs, ring) };
  } catch (cause) {
    throw refused('lock-conflict', `${file} has conflict markers around what is not a lock`, {
      hint: `Take one side whole (git checkout --ours -- ${file}), then run this again.`,
      cause,
    });
  }
}

function splitConflict(text: string, file: string): { ours: string; theirs: string } {
  const ours: string[] = [];
  const theirs: string[] = [];
  let side: 'both' | 'ours' | 'base' | 'theirs' = 'both';
  for (const line of text.split(/\r?\n/)) {
    const marker = /^(<{7}|\|{7}|={7}|>{7})( |$)/.exec(line)?.[1]?.[0];
    if (marker === '<' && side === 'both') side = 'ours';
    else if (marker === '|' && side === 'ours') side = 'base';
    else if (marker === '=' && (side === 'ours' || side === 'base')) side = 'theirs';
    else if (marker === '>' && side === 'theirs') side = 'both';
    else if (marker !== undefined) {
      throw refused('lock-conflict', `${file} has conflict markers that do not match`, {
        hint: `Start again from git's own: git checkout --merge -- ${file}.`,
      });
    } else {
      if (side === 'ours' || side === 'both') ours.push(line);
      if (side === 'theirs' || side === 'both') theirs.push(line);
    }
  }
  return { ours: ours.join('\n'), theirs: theirs.join('\n') };
}

/** The modules whose pins differ between the sides, sorted by alias. */
export function findEntryConflicts({ ours, theirs }: ConflictedLock): EntryConflict[] {
  const aliases = new Set([...ours.modules.keys(), ...theirs.modules.keys()]);
  return [...aliases].sort().flatMap((alias) => {
    const conflict = { alias, ours: ours.modules.get(alias), theirs: theirs.modules.get(alias) };
    const same =
      conflict.ours !== undefined &&
      conflict.theirs !== undefined &&
      samePin(conflict.ours, conflict.theirs);
    return same ? [] : [conflict];
  });
}

/**
 * One lock of both: what the sides agree on, and of the rest what was chosen.
 *
 * @param chosen by alias; null leaves the module out
 */
export function mergeLocks(
  { ours, theirs }: ConflictedLock,
  chosen: ReadonlyMap<string, LockEntry | null>,
): Lock {
  const modules = new Map<string, LockEntry>();
  for (const [alias, entry] of [...theirs.modules, ...ours.modules]) {
    const choice = chosen.get(alias);
    if (choice === undefined) modules.set(alias, withArtifactOf(entry, theirs.modules.get(alias)));
    else if (choice !== null) modules.set(alias, choice);
  }
  const platform = semver.gt(theirs.platform, ours.platform) ? theirs.platform : ours.platform;
  return { ring: ours.ring, platform, modules };
}

/** Of two entries with one pin the one that was released says where the package is. */
function withArtifactOf(entry: LockEntry, theirs: LockEntry | undefined): LockEntry {
  if (entry.artifact !== null || theirs === undefined || !samePin(entry, theirs)) return entry;
  return { ...entry, artifact: theirs.artifact, released_at: theirs.released_at };
}
