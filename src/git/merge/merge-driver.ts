import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { RinglockError } from '../../errors.ts';
import { committedText } from '../../repo/committed-text.ts';
import { ringOfLockFile } from '../../repo/names.ts';
import { writeFileAtomically } from '../../store/atomic-file.ts';
import { type GitRepository, tryGit } from '../git-command.ts';
import { findFavouredSide } from './favoured-side.ts';
import type { ConflictChoice, FileMerge, MergedTexts } from './file-merge.ts';
import { mergeLockFile } from './merge-lock-file.ts';
import { type FavouredSide, type MergedFiles, mergeAsText, showsBase } from './text-merge.ts';

/** What git tells a merge driver (gitattributes, "Defining a custom merge driver"). */
export interface MergeDriverCall {
  /** Where git runs it: the top of the work tree. */
  readonly cwd: string;
  readonly files: MergedFiles;
  /** The path that the result has in the repository. */
  readonly path: string;
  readonly markerSize: number;
  readonly labels: { readonly ours: string; readonly base: string; readonly theirs: string };
  /** Whether the result is only the base of another merge: conflicts in it are nobody's to resolve. */
  readonly isAncestor: boolean;
  /** The git that runs the driver, where it is known. */
  readonly gitProcess: number | undefined;
  readonly environment: NodeJS.ProcessEnv;
}

export interface MergeDriverOutcome {
  /** False: the file has conflict markers. */
  readonly clean: boolean;
  /** `entries`: by what the file means; `text`: line by line, as git merges any file. */
  readonly how: 'entries' | 'text';
  /** What is left to a person, a line each; empty where only git knows. */
  readonly conflicts: readonly string[];
}

/**
 * Merges one file and writes the result over `files.ours`.
 *
 * @throws RinglockError when a file cannot be read or written; `files.ours` is then as it was
 */
export async function runMergeDriver(call: MergeDriverCall): Promise<MergeDriverOutcome> {
  const repository = await repositoryAt(call.cwd);
  const favoured = once(() => findFavouredSide(call.gitProcess, repository.gitDir));
  const conclude = async (): Promise<ConflictChoice> => {
    if (call.isAncestor) return 'base';
    const { markerSize: size, labels } = call;
    return (await favoured()) ?? { size, ...labels, showsBase: await showsBase(call.cwd) };
  };
  const merged = await mergeByMeaning(repository, call, conclude);
  if (merged === undefined) return mergeLines(call, favoured);
  await writeFileAtomically(resolve(call.cwd, call.files.ours), merged.text);
  return { clean: merged.conflicts.length === 0, how: 'entries', conflicts: merged.conflicts };
}

async function mergeByMeaning(
  repository: GitRepository,
  call: MergeDriverCall,
  conclude: () => Promise<ConflictChoice>,
): Promise<FileMerge | undefined> {
  const { cwd, files, path } = call;
  const ring = ringOfLockFile(path);
  const texts = await readTexts(call);
  if (texts === undefined) return undefined;
  if (ring === undefined) {
    // Loaded only here: most merges are of locks.
    const { mergeYamlThreeWay } = await import('./merge-yaml-file.ts');
    return mergeYamlThreeWay(cwd, path, texts, files, conclude);
  }
  return mergeLockFile(repository, ring, texts, call.environment, conclude);
}

/** Undefined when one of them is no text that ringlock reads: too long, or not UTF-8. */
async function readTexts({ cwd, files, path }: MergeDriverCall): Promise<MergedTexts | undefined> {
  const read = async (file: string) => committedText(await readFile(resolve(cwd, file)), path);
  try {
    const [base, ours, theirs] = await Promise.all(
      [files.base, files.ours, files.theirs].map(read),
    );
    return { base: base ?? '', ours: ours ?? '', theirs: theirs ?? '' };
  } catch (error) {
    if (error instanceof RinglockError) return undefined;
    throw error;
  }
}

async function mergeLines(
  { cwd, files, labels, markerSize, isAncestor }: MergeDriverCall,
  favoured: () => Promise<FavouredSide | undefined>,
): Promise<MergeDriverOutcome> {
  const markers = { size: markerSize, ...labels, showsBase: false };
  const { text, clean } = await mergeAsText(cwd, files, markers, await favoured());
  const result = isAncestor && !clean ? await readFile(resolve(cwd, files.base)) : text;
  if (result !== undefined) await writeFileAtomically(resolve(cwd, files.ours), result);
  return { clean: clean || isAncestor, how: 'text', conflicts: [] };
}

/** In a bare repository (git merge-tree) git runs drivers, too. */
async function repositoryAt(cwd: string): Promise<GitRepository> {
  const { status, stdout } = await tryGit(cwd, ['rev-parse', '--absolute-git-dir']);
  const gitDir = status === 0 ? stdout.toString().trim() : cwd;
  return { topLevel: cwd, gitDir, commonDir: gitDir };
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}
