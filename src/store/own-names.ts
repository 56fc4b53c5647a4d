import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed } from '../errors.ts';

/** What ringlock makes in a root, but for `current`: a name that is something else is not ours. */
const ownNames: Readonly<Record<string, 'directory' | 'file'>> = {
  owner: 'directory',
  damaged: 'directory',
  generations: 'directory',
  versions: 'directory',
  staging: 'directory',
  audit: 'directory',
  'audit/audit.sqlite': 'file',
  'audit/outbox.json': 'file',
  'repo.git': 'directory',
  'journal.jsonl': 'file',
  'switches.json': 'file',
  'status.json': 'file',
  'root.json': 'file',
  'ring-memory.json': 'file',
  'outward.json': 'file',
  ring: 'directory',
  requests: 'directory',
  replica: 'directory',
};

/** Something that stands where ringlock keeps something of another kind. */
export interface StrangeName {
  /** Relative to the root. */
  readonly name: string;
  readonly found: string;
  readonly expected: 'directory' | 'file';
}

/** The names of a root whose kind is not the one that ringlock makes; `owner` comes first. */
export async function findStrangeNames(root: string): Promise<StrangeName[]> {
  const strange: StrangeName[] = [];
  for (const [name, expected] of Object.entries(ownNames)) {
    const there = await lstat(join(root, name)).catch(() => undefined);
    if (there === undefined) continue;
    const found = there.isDirectory()
      ? 'directory'
      : there.isFile()
        ? 'file'
        : there.isSymbolicLink()
          ? 'link'
          : 'special file';
    // An operator may keep a directory on another volume behind a link.
    if (found !== expected && !(found === 'link' && expected === 'directory')) {
      strange.push({ name, found, expected });
    }
  }
  return strange;
}

/** @throws RinglockError `foreign-name`; a `repo.git` is passed over, since it can be fetched again */
export async function requireOwnNames(root: string): Promise<void> {
  const [strange] = (await findStrangeNames(root)).filter(({ name }) => name !== 'repo.git');
  if (strange === undefined) return;
  const { name, found, expected } = strange;
  throw environmentFailed(
    'foreign-name',
    `${join(root, name)} is a ${found}, expected a ${expected}`,
    { hint: 'Look who made it, then: ringlock reconcile --repair moves it aside.' },
  );
}
