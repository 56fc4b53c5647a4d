import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import type { FavouredSide } from './text-merge.ts';

/**
 * The side that `-X ours` or `-X theirs` prefers. git tells no merge driver of it, so this is a hint,
 * read from the arguments of the git that started the driver, or from what a rebase or a series of
 * picks has noted; undefined means a conflict, which loses nothing.
 *
 * @param pid of that git
 * @param gitDir where a rebase notes its options
 */
export async function findFavouredSide(
  pid: number | undefined,
  gitDir: string | undefined,
): Promise<FavouredSide | undefined> {
  const given = pid === undefined ? [] : await argumentsOf(pid);
  if (basename(given[0] ?? '').startsWith('git')) {
    const favoured = favouredByArguments(given.slice(1));
    if (favoured !== undefined) return favoured;
  }
  if (gitDir === undefined) return undefined;
  return favouredByNotes(await textOf(join(gitDir, 'rebase-merge', 'strategy_opts')));
}

/** As git reads them: the last one counts, and what follows -m is a message. */
export function favouredByArguments(given: readonly string[]): FavouredSide | undefined {
  let favoured: FavouredSide | undefined;
  for (const [at, argument] of given.entries()) {
    if (argument === '--') break;
    const before = given[at - 1] ?? '';
    if (/^(-[a-zA-Z]*m|--message|-F|--file)$/.test(before)) continue;
    const isValue = before === '-X' || before === '--strategy-option';
    const value = isValue
      ? argument
      : (/^(?:-X|--strategy-option=)(.+)$/.exec(argument)?.[1] ?? '');
    if (value === 'ours' || value === 'theirs') favoured = value;
  }
  return favoured;
}

/** ` '--ours' '--find-renames'`, as a rebase writes it. */
function favouredByNotes(notes: string): FavouredSide | undefined {
  const found = [...notes.matchAll(/(?:^|[\s'])--(ours|theirs)(?=['\s]|$)/g)].at(-1)?.[1];
  return found as FavouredSide | undefined;
}

async function argumentsOf(pid: number): Promise<string[]> {
  const bytes = await textOf(`/proc/${pid}/cmdline`);
  if (bytes !== '') return bytes.split('\0');
  // No /proc, as on macOS; a blank within an argument cannot be told there.
  const run = promisify(execFile);
  const listed = await run('ps', ['-o', 'args=', '-p', String(pid)]).catch(() => undefined);
  return listed?.stdout.trim().split(/\s+/) ?? [];
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}
