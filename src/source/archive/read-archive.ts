import { open } from 'node:fs/promises';
import { findPathRefusals } from '../../digest/refusals.ts';
import type { Limits } from '../../repo/limits.ts';
import { diskFailed } from '../../store/disk-error.ts';
import type { SourceFile } from '../module-source.ts';
import { type ArchiveEntry, entryError } from './archive-entry.ts';
import { archiveError } from './archive-error.ts';
import { readCentralDirectory } from './central-directory.ts';
import { ReadAhead } from './read-ahead.ts';
import { readEntries } from './read-entries.ts';

export interface ArchiveOptions {
  /** What messages call it: `the package of orders 1.4.2`. */
  readonly label: string;
  readonly limits: Pick<Limits, 'file' | 'module'>;
  /** The most files that a module may have. */
  readonly maxFiles: number;
}

/** Text of one repeated line takes a 200th; a module of nothing else than that is a bomb. */
const mostRatio = 200;
/** Bytes of content below which the ratio does not matter. */
const smallBytes = 16 * 1024 * 1024;

/**
 * The files of a zip archive, verified one by one as they are read: sizes, checksum, and that the archive's
 * two descriptions of each agree. No byte of the archive is without a meaning, and nothing is written.
 *
 * @param path of a file that nobody changes meanwhile
 * @throws RinglockError `archive-invalid`, `archive-unsupported`, `archive-path`, `archive-too-large`, at
 *   the first file that gives reason to; files before it were good
 */
export async function* readArchive(
  path: string,
  { label, limits, maxFiles }: ArchiveOptions,
): AsyncGenerator<SourceFile> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw diskFailed(error, path);
  });
  try {
    const { size } = await file.stat();
    const reader = new ReadAhead(file);
    // Folders are entries too; a module has no more of them than files.
    const archive = await readCentralDirectory(reader, size, label, 2 * maxFiles);
    refusePaths(archive.entries, label, maxFiles);
    refuseSizes(archive.entries, size, label, limits);
    yield* readEntries(reader, archive, label);
  } catch (error) {
    throw diskFailed(error, path);
  } finally {
    await file.close();
  }
}

function refusePaths(entries: readonly ArchiveEntry[], label: string, maxFiles: number): void {
  const files = entries.filter(({ kind }) => kind === 'file');
  if (files.length > maxFiles) {
    const found = `has ${files.length} files, expected at most ${maxFiles}`;
    throw archiveError('archive-too-large', label, found);
  }
  refuseTwice(entries, label);
  const mode = '100644';
  const [first] = findPathRefusals(
    entries.map(({ path }) => ({ path, mode })),
    Infinity,
  );
  if (first !== undefined) throw entryError('archive-path', label, first.path, first.reason);
}

/** One name for two entries, or for a file and a folder that another name goes through. */
function refuseTwice(entries: readonly ArchiveEntry[], label: string): void {
  const kinds = new Map<string, ArchiveEntry['kind']>();
  for (const { path, kind } of entries) {
    if (kinds.has(path)) throw entryError('archive-path', label, path, 'is there twice');
    kinds.set(path, kind);
  }
  for (const { path } of entries) {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
      if (kinds.get(path.slice(0, end)) !== 'file') continue;
      throw entryError('archive-path', label, path.slice(0, end), 'is a file and a folder');
    }
  }
}

function refuseSizes(
  entries: readonly ArchiveEntry[],
  archiveSize: number,
  label: string,
  limits: ArchiveOptions['limits'],
): void {
  let total = 0;
  for (const { path, size } of entries) {
    total += size;
    if (size > limits.file) {
      const found = `has ${size} bytes, expected at most ${limits.file}`;
      throw entryError('archive-too-large', label, path, found);
    }
  }
  if (total > limits.module) {
    const found = `has files of ${total} bytes, expected at most ${limits.module}`;
    throw archiveError('archive-too-large', label, found);
  }
  if (total > smallBytes && total > mostRatio * archiveSize) {
    const found = `has ${archiveSize} bytes that become ${total}, more than ${mostRatio} times as many`;
    throw archiveError('archive-too-large', label, found);
  }
}
