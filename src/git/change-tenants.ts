import { badInput } from '../errors.ts';
import { parseLock } from '../repo/lock.ts';
import { tenantsFile } from '../repo/names.ts';
import type { TenantsFile } from '../repo/tenants.ts';
import { commitCommand, commitFiles, refuseEdited } from './commit-files.ts';
import { type GitRepository, runGit } from './git-command.ts';
import { type ManifestFiles, writeManifestFile } from './manifest-files.ts';

/** How far a change goes: only shown, written into the work tree, or committed, too. */
export interface ChangeOptions {
  readonly dryRun: boolean;
  readonly commit: boolean;
}

export interface ChangedTenants {
  readonly changed: boolean;
  readonly file: string;
  /** Null when none was made. */
  readonly commit: string | null;
  /** The command that is left to do; null when nothing is. */
  readonly next: string | null;
}

/** @throws RinglockError `no-tenants` */
export function requireTenantsFile({ tenants }: ManifestFiles): TenantsFile {
  if (tenants !== undefined) return tenants;
  throw badInput('no-tenants', `${tenantsFile} is missing`, {
    hint: 'Start it with: ringlock tenant add <id> --ring <ring>',
  });
}

/** The aliases that a ring's lock has; none where there is no lock. */
export function lockedAliases({ lockTexts }: ManifestFiles, ring: string): ReadonlySet<string> {
  const text = lockTexts.get(ring);
  return new Set(text === undefined ? [] : parseLock(text, ring).modules.keys());
}

/**
 * Writes tenants.yaml into the work tree when its text has changed, and commits it alone when asked.
 *
 * @param before its text; undefined when it is new
 * @throws RinglockError `file-changed` before anything is written, when a commit would take along
 *   somebody's edits; `git-failed` when a hook refuses the commit: the file stays written
 */
export async function changeTenants(
  repository: GitRepository,
  before: string | undefined,
  text: string,
  message: string,
  { dryRun, commit }: ChangeOptions,
): Promise<ChangedTenants> {
  const file = tenantsFile;
  const changed = text !== before;
  if (!changed || dryRun) return { changed, file, commit: null, next: null };
  if (commit) await refuseEdited(repository, [file]);
  await writeManifestFile(repository, file, text);
  // git commits by path only what it knows.
  if (before === undefined) await runGit(repository.topLevel, ['add', '-N', '--', file]);
  if (!commit) {
    return { changed, file, commit: null, next: commitCommand(message, [file]) };
  }
  return {
    changed,
    file,
    commit: await commitFiles(repository, [file], message),
    next: 'git push',
  };
}

/** A message's text: what is done, and why where that is said. */
export function tenantMessage(
  subject: string,
  reason: string | undefined,
  lines: readonly string[] = [],
): string {
  const parts = [subject, lines.join('\n'), reason ?? ''].filter(Boolean);
  return `${parts.join('\n\n')}\n`;
}
