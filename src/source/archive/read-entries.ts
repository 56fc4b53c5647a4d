import { promisify } from 'node:util';
import { crc32, inflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { type LocalFileHeader, parseExtraFields, type ZipFile } from 'yauzl';
import type { SourceFile } from '../module-source.ts';
import { type ArchiveEntry, entryError, refuseExtraFields } from './archive-entry.ts';
import { archiveError } from './archive-error.ts';
import { invalid, type OpenArchive } from './central-directory.ts';
import type { ReadAhead } from './read-ahead.ts';

/** Larger contents are inflated beside the event loop. */
const smallContent = 128 * 1024;
const inflateLarge = promisify(inflateRaw) as (
  data: Uint8Array,
  options: ZlibOptions,
) => Promise<unknown>;

/**
 * Reads the files of an archive in the order they lie there. Each has to begin where the one before it
 * ended, so that none overlaps another and nothing hides between them.
 *
 * @throws RinglockError `archive-invalid`, `archive-unsupported`
 */
export async function* readEntries(
  reader: ReadAhead,
  { zip, entries, filesEnd }: OpenArchive,
  label: string,
): AsyncGenerator<SourceFile> {
  const inOrder = [...entries].sort((a, b) => offsetOf(a) - offsetOf(b));
  let at = 0;
  for (const entry of inOrder) {
    if (offsetOf(entry) !== at) {
      const found = `begins at ${offsetOf(entry)}, the one before it ends at ${at}`;
      throw entryError('archive-invalid', label, entry.path, found);
    }
    const header = await readLocalHeader(zip, entry, label);
    requireAgreement(entry, header, label);
    at = header.fileDataStart + entry.storedSize;
    if (at > filesEnd) {
      throw entryError('archive-invalid', label, entry.path, 'reaches into the directory');
    }
    const data = await reader.readAt(header.fileDataStart, entry.storedSize);
    if (entry.kind === 'folder') continue;
    const content = await contentOf(entry, data, label);
    yield { path: entry.path, executable: entry.executable, content };
  }
  if (at !== filesEnd) {
    const found = `has ${filesEnd - at} bytes before its directory that belong to no file`;
    throw archiveError('archive-invalid', label, found);
  }
}

function offsetOf({ raw }: ArchiveEntry): number {
  return raw.relativeOffsetOfLocalHeader;
}

async function readLocalHeader(
  zip: ZipFile,
  { raw }: ArchiveEntry,
  label: string,
): Promise<LocalFileHeader> {
  try {
    return await zip.readLocalFileHeaderPromise(raw);
  } catch (error) {
    throw invalid(error, label);
  }
}

/** Readers that go through a stream believe the local header, others the directory. */
function requireAgreement(entry: ArchiveEntry, header: LocalFileHeader, label: string): void {
  const { raw, path } = entry;
  const fields = [
    ['name', raw.fileNameRaw.equals(header.fileName)],
    ['flags', raw.generalPurposeBitFlag === header.generalPurposeBitFlag],
    ['method', raw.compressionMethod === header.compressionMethod],
    ['checksum', raw.crc32 === header.crc32],
    ['stored size', raw.compressedSize === header.compressedSize],
    ['size', raw.uncompressedSize === header.uncompressedSize],
  ] as const;
  const other = fields.find(([, isSame]) => !isSame);
  if (other !== undefined) {
    const found = `has another ${other[0]} in its own header than in the directory`;
    throw entryError('archive-invalid', label, path, found);
  }
  try {
    refuseExtraFields(parseExtraFields(header.extraField), path, label);
  } catch (error) {
    throw invalid(error, label);
  }
}

async function contentOf(entry: ArchiveEntry, data: Buffer, label: string): Promise<Buffer> {
  const refuse = (what: string) => entryError('archive-invalid', label, entry.path, what);
  if (data.length !== entry.storedSize) throw refuse('is cut off');
  // A copy, since a small file would else keep the whole window that it was read with.
  const content = entry.isDeflated ? await inflate(entry, data, refuse) : Buffer.from(data);
  if (content.length !== entry.size) {
    throw refuse(`has ${content.length} bytes, its header says ${entry.size}`);
  }
  if (crc32(content) !== entry.crc) throw refuse('has another checksum than its header says');
  return content;
}

async function inflate(
  { size }: ArchiveEntry,
  data: Buffer,
  refuse: (what: string) => Error,
): Promise<Buffer> {
  const options = { maxOutputLength: Math.max(1, size), info: true };
  try {
    // @types/node does not know what `info` makes of the answer.
    const { buffer, engine } = (
      size <= smallContent ? inflateRawSync(data, options) : await inflateLarge(data, options)
    ) as { buffer: Buffer; engine: { bytesWritten: number } };
    if (engine.bytesWritten === data.length) return buffer;
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') {
      throw refuse(`has more than the ${size} bytes that its header says`);
    }
    throw refuse(`cannot be inflated: ${(error as Error).message}`);
  }
  throw refuse('has bytes behind the end of its content');
}
