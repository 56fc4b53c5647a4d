import { join } from 'node:path';
import { foldedName, nameRefusal } from '../digest/refusals.ts';
import { refused } from '../errors.ts';
import type { Lock } from '../repo/lock.ts';
import type { FaultPoint } from './fault-point.ts';

/** What every part of the store is given of the root it works in. */
export interface StoreContext {
  /** Absolute path of the root. */
  readonly root: string;
  readonly link: LinkMode;
  readonly now: () => Date;
  readonly fault: FaultPoint;
  /** @throws RinglockError `root-lost` when another process took the root over */
  readonly requireOwned: () => Promise<void>;
}

/** How a generation holds its modules: links to the store, or real directories of hard-linked files. */
export type LinkMode = 'symlink' | 'hardlink';

/** The contract's own name inside a generation; no module may take it. */
export const generationFacts = '.ringlock';

export const currentPath = (root: string) => join(root, 'current');
export const generationsPath = (root: string) => join(root, 'generations');
export const generationPath = (root: string, number: number) =>
  join(root, 'generations', generationName(number));
export const versionsPath = (root: string) => join(root, 'versions');
export const stagingPath = (root: string) => join(root, 'staging');
export const journalPath = (root: string) => join(root, 'journal.jsonl');
export const statusPath = (root: string) => join(root, 'status.json');
export const switchesPath = (root: string) => join(root, 'switches.json');
export const damagedPath = (root: string) => join(root, 'damaged');
export const auditPath = (root: string) => join(root, 'audit');
export const ownersPath = (root: string) => join(root, 'owner');

/** `000042` */
export function generationName(number: number): string {
  return String(number).padStart(6, '0');
}

/** The number that a directory's name says, or undefined for a name that is not ours. */
export function generationNumber(name: string): number | undefined {
  return /^\d{6,15}$/.test(name) ? Number(name) : undefined;
}

/**
 * Where modules stand inside a generation: alias → `Orders` or `themes/Dark` (the alias, for a reference
 * lock).
 *
 * @throws RinglockError `directory-clash` for directories that are one, or lie in each other, on any file
 *   system, and for what cannot be a directory on one of them
 */
export function moduleDirectories(lock: Lock): ReadonlyMap<string, string> {
  const directories = new Map<string, string>();
  const owners = new Map<string, string>();
  for (const [alias, entry] of lock.modules) {
    const directory = entry.directory ?? alias;
    const reason = nameRefusal(directory);
    if (reason !== undefined) throw clash(alias, directory, `it ${reason}`);
    directories.set(alias, directory);
    const taken = owners.get(foldedName(directory));
    if (taken !== undefined) {
      throw clash(alias, directory, `${taken} stands there (${directories.get(taken)})`);
    }
    owners.set(foldedName(directory), alias);
  }
  for (const [folded, alias] of owners) {
    const directory = directories.get(alias) ?? folded;
    const segments = folded.split('/');
    if (segments[0] === generationFacts)
      throw clash(alias, directory, 'the name is ringlock’s own');
    for (let length = 1; length < segments.length; length++) {
      const taken = owners.get(segments.slice(0, length).join('/'));
      if (taken !== undefined) {
        throw clash(alias, directory, `${directories.get(taken)} is the module ${taken}`);
      }
    }
  }
  return directories;
}

function clash(alias: string, directory: string, reason: string) {
  return refused('directory-clash', `${alias} cannot be installed as ${directory}: ${reason}`, {
    hint: 'Give each module of the lock a directory of its own, none inside another.',
  });
}
