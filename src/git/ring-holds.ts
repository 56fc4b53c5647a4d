import { join } from 'node:path';
import { badInput, refused } from '../errors.ts';
import { parseLock } from '../repo/lock.ts';
import { ringFile } from '../repo/names.ts';
import { withHold, withoutHold } from '../repo/ring.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { committerName } from './committer-name.ts';
import type { GitRepository } from './git-command.ts';
import { requireRing } from './manifest-files.ts';
import type { PlatformSnapshot } from './platform-snapshot.ts';
import { findModule, unknownModule } from './ring-selection.ts';

export interface HeldModule {
  readonly alias: string;
  readonly version: string;
  /** The ring's file, from the repository's top. */
  readonly file: string;
}

/**
 * Holds a module at the version that the ring's lock has, in the ring's committed file.
 *
 * @param name alias or directory
 * @param now the time that is written beside the reason
 * @throws RinglockError `unknown-ring`, `unknown-module`, `empty-reason`
 */
export async function holdModule(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  ring: string,
  name: string,
  reason: string,
  now: Date,
): Promise<HeldModule> {
  const file = requireRing(snapshot, ring);
  if (reason.trim() === '') {
    throw badInput(
      'empty-reason',
      'the reason is empty, expected a sentence for whoever finds the hold',
    );
  }
  const text = snapshot.lockTexts.get(ring);
  const locked = text === undefined ? undefined : parseLock(text, ring).modules;
  const alias = findModule(snapshot.modules, name)?.alias ?? name;
  const entry = locked?.get(alias);
  if (entry === undefined) throw unknownModule(name, [...(locked?.keys() ?? [])]);
  const { version } = entry;
  const by = await committerName(repository);
  const since = now.toISOString().replace(/\.\d+Z$/, 'Z');
  const hold = { version, reason, since, ...(by !== undefined && { by }) };
  await write(repository, ring, withHold(file, alias, hold));
  return { alias, version, file: ringFile(ring) };
}

/** Ends a hold. @throws RinglockError `unknown-ring`, `not-held` */
export async function unholdModule(
  repository: GitRepository,
  snapshot: PlatformSnapshot,
  ring: string,
  name: string,
): Promise<HeldModule> {
  const file = requireRing(snapshot, ring);
  const alias = findModule(snapshot.modules, name)?.alias ?? name;
  const hold = file.ring.holds.get(alias);
  if (hold === undefined) {
    throw refused('not-held', `${ringFile(ring)} does not hold ${alias}`, {
      hint: `Held there: ${[...file.ring.holds.keys()].join(', ') || 'nothing'}.`,
    });
  }
  await write(repository, ring, withoutHold(file, alias));
  return { alias, version: hold.version, file: ringFile(ring) };
}

function write({ topLevel }: GitRepository, ring: string, text: string): Promise<void> {
  return writeFileAtomically(join(topLevel, ringFile(ring)), text);
}
