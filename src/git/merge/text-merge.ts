import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConflictMarkers } from '../../repo/conflicted-lock-text.ts';
import { tryGit } from '../git-command.ts';

/** The files that git gives a merge driver, in the directory where it runs. */
export interface MergedFiles {
  /** As it was where the sides parted; empty when both added the file. */
  readonly base: string;
  /** Our side; the result is written here. */
  readonly ours: string;
  readonly theirs: string;
}

export type FavouredSide = 'ours' | 'theirs';

export interface TextMerge {
  /** Undefined when git cannot merge it at all: it takes it for binary. */
  readonly text: Buffer | undefined;
  readonly clean: boolean;
}

/** What git itself makes of the files, merged line by line. */
export async function mergeAsText(
  cwd: string,
  { base, ours, theirs }: MergedFiles,
  markers: ConflictMarkers,
  favoured: FavouredSide | undefined,
): Promise<TextMerge> {
  const labels = [markers.ours, markers.base, markers.theirs].flatMap((label) => ['-L', label]);
  const { status, stdout } = await tryGit(cwd, [
    ...['merge-file', '-p', '-q', `--marker-size=${markers.size}`],
    ...(favoured === undefined ? [] : [`--${favoured}`]),
    ...labels,
    ...[ours, base, theirs],
  ]);
  // The number of conflicts, at most 127; more is a failure.
  return status > 127 || status < 0
    ? { text: undefined, clean: false }
    : { text: stdout, clean: status === 0 };
}

/**
 * Two texts with conflict markers wherever they differ: what a merge is where nothing was before, and
 * what is left where the lines merge, but not into anything right.
 */
export async function markDifferences(
  cwd: string,
  ours: string,
  theirs: string,
  markers: ConflictMarkers,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ringlock-merge-'));
  try {
    const files = {
      base: join(directory, '1'),
      ours: join(directory, '2'),
      theirs: join(directory, '3'),
    };
    await writeFile(files.base, '');
    await writeFile(files.ours, ours);
    await writeFile(files.theirs, theirs);
    return (await mergeAsText(cwd, files, markers, undefined)).text?.toString() ?? ours;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Whether merge.conflictStyle wants to see what was before, too. */
export async function showsBase(cwd: string): Promise<boolean> {
  const { status, stdout } = await tryGit(cwd, ['config', '--get', 'merge.conflictStyle']);
  return status === 0 && /^z?diff3$/.test(stdout.toString().trim());
}
