import yauzl, { type Entry, type ZipFile } from 'yauzl';
import { type ArchiveEntry, describeEntry } from './archive-entry.ts';
import { archiveError } from './archive-error.ts';
import type { ReadAhead } from './read-ahead.ts';

/** An archive whose central directory ends it, with no byte before, between or after that is not its own. */
export interface OpenArchive {
  readonly zip: ZipFile;
  readonly entries: readonly ArchiveEntry[];
  /** Where the central directory begins: the files before it have to end there. */
  readonly filesEnd: number;
}

const endSize = 22;

/**
 * Reads an archive's directory. Only what lies exactly where it has to is taken: readers that search
 * backwards for another end, or forwards for another start, see another archive in the same bytes.
 *
 * @param size of the file, in bytes
 * @param mostEntries files and folders
 * @throws RinglockError `archive-invalid`, `archive-unsupported`, `archive-path`, `archive-too-large`
 */
export async function readCentralDirectory(
  reader: ReadAhead,
  size: number,
  label: string,
  mostEntries: number,
): Promise<OpenArchive> {
  const end = await readEnd(reader, size, label);
  if (end.entries > mostEntries) {
    throw archiveError(
      'archive-too-large',
      label,
      `has ${end.entries} entries, expected at most ${mostEntries}`,
    );
  }
  const zip = await openZip(reader, size, label);
  const entries: ArchiveEntry[] = [];
  let bytes = 0;
  try {
    for await (const entry of zip.eachEntry()) {
      bytes += directoryBytes(entry);
      if (bytes > end.size) break;
      entries.push(describeEntry(entry, label));
    }
  } catch (error) {
    throw invalid(error, label);
  }
  if (bytes !== end.size) {
    const found = `has a directory of ${end.size} bytes for ${end.entries} entries, which take ${bytes}`;
    throw archiveError('archive-invalid', label, found);
  }
  return { zip, entries, filesEnd: end.offset };
}

/** What yauzl says of an archive, which is nearly always that it is broken. */
export function invalid(error: unknown, label: string): unknown {
  if (!(error instanceof Error) || error.name === 'RinglockError' || 'syscall' in error)
    return error;
  return archiveError('archive-invalid', label, `cannot be read: ${error.message}`);
}

interface DirectoryEnd {
  readonly entries: number;
  readonly size: number;
  readonly offset: number;
}

async function readEnd(reader: ReadAhead, size: number, label: string): Promise<DirectoryEnd> {
  const at = size - endSize;
  const end = await reader.readAt(Math.max(0, at), endSize);
  if (at < 0 || end.length < endSize || end.readUInt32LE(0) !== 0x06054b50) {
    throw archiveError(
      'archive-invalid',
      label,
      'does not end with the end of a zip directory: it is cut off, has a comment or something after it, or is no zip',
    );
  }
  const [disk, startDisk, here] = [4, 6, 8].map((field) => end.readUInt16LE(field));
  const [entries, comment] = [end.readUInt16LE(10), end.readUInt16LE(20)];
  const [length, offset] = [end.readUInt32LE(12), end.readUInt32LE(16)];
  if (entries === 0xffff || length === 0xffff_ffff || offset === 0xffff_ffff) {
    throw archiveError('archive-unsupported', label, 'is a zip64 archive');
  }
  const before = await reader.readAt(Math.max(0, at - 20), 4);
  if (before.length === 4 && before.readUInt32LE(0) === 0x07064b50) {
    throw archiveError('archive-unsupported', label, 'is a zip64 archive');
  }
  if (disk !== 0 || startDisk !== 0 || here !== entries) {
    throw archiveError('archive-unsupported', label, 'is a part of an archive in several parts');
  }
  if (comment !== 0 || offset + length !== at) {
    const found = `has a directory of ${length} bytes at ${offset} that does not lead to its end at ${at}`;
    throw archiveError('archive-invalid', label, found);
  }
  return { entries, size: length, offset };
}

async function openZip(reader: ReadAhead, size: number, label: string): Promise<ZipFile> {
  const options = { autoClose: false, lazyEntries: true, decodeStrings: false };
  try {
    return await yauzl.fromRandomAccessReaderPromise(reader, size, options);
  } catch (error) {
    throw invalid(error, label);
  }
}

function directoryBytes({ fileNameLength, extraFieldLength, fileCommentLength }: Entry): number {
  return 46 + fileNameLength + extraFieldLength + fileCommentLength;
}
