import { refused } from '../errors.ts';
import { type Lock, parseLock, samePin } from './lock.ts';
import { lockFile } from './names.ts';

/** A lock in the middle of a merge, as both sides have it; what git merged by itself is in both. */
export interface ConflictedLock {
  readonly ours: Lock;
  readonly theirs: Lock;
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
    const marker = /^(<{7,}|\|{7,}|={7,}|>{7,})( |$)/.exec(line)?.[1]?.[0];
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

/**
 * A side as its branch has it, where the text pins the same: git merges line by line, so that what
 * stands around its markers may be of both.
 */
export function asCommitted(side: Lock, committed: Lock | undefined): Lock {
  const modules = [...side.modules].map(([alias, entry]) => {
    const whole = committed?.modules.get(alias);
    return [alias, whole !== undefined && samePin(whole, entry) ? whole : entry] as const;
  });
  return { ...side, modules: new Map(modules) };
}
