import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { badInput } from '../errors.ts';
import { committedText } from '../repo/committed-text.ts';
import { requireRingName, ringFile } from '../repo/names.ts';
import {
  parseRingFile,
  type RingFile,
  type Suspension,
  withoutSuspension,
  withSuspension,
} from '../repo/ring.ts';
import { commitCommand, commitFiles, refuseEdited } from './commit-files.ts';
import { committerName } from './committer-name.ts';
import type { GitRepository } from './git-command.ts';
import { readManifestFiles, requireRing, writeManifestFile } from './manifest-files.ts';

export interface RingSwitch {
  readonly ring: string;
  /** The ring's file, from the repository's top. */
  readonly file: string;
  /** False when the ring was like that already: nothing was written. */
  readonly changed: boolean;
  /** The suspension that is there now, or the one that has ended. */
  readonly suspension: Suspension | undefined;
  readonly commit: string | undefined;
  /** What is left to do, as commands. */
  readonly next: readonly string[];
}

/**
 * Suspends a ring in its committed file. One that is suspended already keeps the reason it has, so that
 * nobody takes away another's.
 *
 * @param now the time that is written beside the reason
 * @throws RinglockError `unknown-ring`, `empty-reason`, and what commitFiles() throws
 */
export async function suspendRing(
  repository: GitRepository,
  name: string,
  reason: string,
  now: Date,
  options: { readonly commit: boolean },
): Promise<RingSwitch> {
  if (reason.trim() === '') {
    throw badInput(
      'empty-reason',
      'the reason is empty, expected a sentence for whoever finds the ring suspended',
    );
  }
  const file = await readRing(repository, name);
  const present = file.ring.suspended;
  if (present?.reason !== undefined) return unchanged(name, present);
  const by = await committerName(repository);
  const since = now.toISOString().replace(/\.\d+Z$/, 'Z');
  const suspension = { reason, since, ...(by !== undefined && { by }) };
  const text = withSuspension(file, suspension);
  return write(repository, name, text, `Suspend ${name}\n\n${reason}\n`, suspension, options);
}

/** Ends a ring's suspension. @throws RinglockError `unknown-ring`, and what commitFiles() throws */
export async function resumeRing(
  repository: GitRepository,
  name: string,
  options: { readonly commit: boolean },
): Promise<RingSwitch> {
  const file = await readRing(repository, name);
  const { suspended } = file.ring;
  if (suspended === undefined) return unchanged(name, undefined);
  return write(repository, name, withoutSuspension(file), `Resume ${name}\n`, suspended, options);
}

/** The ring's file alone is read: the others may be broken in the very incident. */
async function readRing(repository: GitRepository, name: string): Promise<RingFile> {
  const path = ringFile(requireRingName(name));
  const bytes = await readFile(join(repository.topLevel, path)).catch(() => undefined);
  if (bytes === undefined) {
    requireRing(await readManifestFiles(repository), name);
    throw badInput('unknown-ring', `${path} cannot be read`);
  }
  return parseRingFile(committedText(bytes, path), name);
}

function unchanged(ring: string, suspension: Suspension | undefined): RingSwitch {
  return { ring, file: ringFile(ring), changed: false, suspension, commit: undefined, next: [] };
}

async function write(
  repository: GitRepository,
  ring: string,
  text: string,
  message: string,
  suspension: Suspension,
  { commit }: { readonly commit: boolean },
): Promise<RingSwitch> {
  const file = ringFile(ring);
  if (commit) await refuseEdited(repository, [file]);
  await writeManifestFile(repository, file, text);
  const made = commit ? await commitFiles(repository, [file], message) : undefined;
  const next = [made === undefined ? commitCommand(message, [file]) : 'git push'];
  return { ring, file, changed: true, suspension, commit: made, next };
}
