import type { Entry, ExtraField } from 'yauzl';
import { archiveError } from './archive-error.ts';

/** A file or folder of an archive, as its central directory says it. */
export interface ArchiveEntry {
  /** Relative, without a slash at its end. */
  readonly path: string;
  readonly kind: 'file' | 'folder';
  readonly executable: boolean;
  /** Bytes of the content, and of what is stored for it. */
  readonly size: number;
  readonly storedSize: number;
  readonly isDeflated: boolean;
  readonly crc: number;
  readonly raw: Entry;
}

const stored = 0;
const deflated = 8;
const encryptedFlags = 0x0001 | 0x0040 | 0x2000;
const descriptorFlag = 0x0008;
const patchFlag = 0x0020;
const utf8Flag = 0x0800;

/**
 * Makes of a directory's record what may be in a module's package.
 *
 * @throws RinglockError `archive-unsupported`, `archive-path`, `archive-invalid`
 */
export function describeEntry(raw: Entry, label: string): ArchiveEntry {
  const name = nameOf(raw, label);
  refuseUnsupported(raw, name, label);
  refuseExtraFields(raw.extraFields, name, label);
  const isFolder = name.endsWith('/');
  const mode = raw.externalFileAttributes >>> 16;
  refuseKind(mode, isFolder, name, label);
  const { uncompressedSize: size, compressedSize: storedSize, compressionMethod, crc32 } = raw;
  if (isFolder && (size !== 0 || storedSize !== 0)) {
    throw entryError('archive-invalid', label, name, 'is a folder that has content');
  }
  // Deflate's own stored blocks add less than a thousandth.
  if (storedSize > size + size / 100 + 1024) {
    throw entryError('archive-invalid', label, name, `stores ${storedSize} bytes for ${size}`);
  }
  return {
    path: isFolder ? name.slice(0, -1) : name,
    kind: isFolder ? 'folder' : 'file',
    executable: (mode & 0o100) !== 0,
    ...{ size, storedSize, crc: crc32, raw },
    isDeflated: compressionMethod === deflated,
  };
}

export function entryError(
  code: Parameters<typeof archiveError>[0],
  label: string,
  name: string,
  what: string,
) {
  return archiveError(code, label, `has an entry ${JSON.stringify(name)} that ${what}`);
}

function nameOf({ fileNameRaw, generalPurposeBitFlag }: Entry, label: string): string {
  const shown = fileNameRaw.toString('latin1');
  const isAscii = fileNameRaw.every((byte) => byte < 0x80);
  if (!isAscii && (generalPurposeBitFlag & utf8Flag) === 0) {
    throw entryError('archive-path', label, shown, 'has a name in an encoding that is not given');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(fileNameRaw);
  } catch {
    throw entryError('archive-path', label, shown, 'has a name that is not UTF-8');
  }
}

function refuseUnsupported(entry: Entry, name: string, label: string): void {
  const { generalPurposeBitFlag: flags, compressionMethod } = entry;
  const refuse = (what: string) => entryError('archive-unsupported', label, name, what);
  if ((flags & encryptedFlags) !== 0) throw refuse('is encrypted');
  if ((flags & descriptorFlag) !== 0) throw refuse('has its size behind its content');
  if ((flags & patchFlag) !== 0) throw refuse('is a patch');
  if (compressionMethod !== stored && compressionMethod !== deflated) {
    throw refuse(`is compressed by method ${compressionMethod}, expected 0 or 8`);
  }
  const { compressedSize, uncompressedSize, relativeOffsetOfLocalHeader } = entry;
  if (Math.max(compressedSize, uncompressedSize, relativeOffsetOfLocalHeader) >= 0xffff_ffff) {
    throw refuse('is of a zip64 archive');
  }
  if (entry.fileCommentLength > 0) {
    throw entryError('archive-invalid', label, name, 'has a comment');
  }
}

/** Extra fields that give an entry another size, name or kind than its record has. */
const otherMeanings: ReadonlyMap<number, string> = new Map([
  [0x0001, 'gives other sizes in a zip64 field'],
  [0x000d, 'may be a link or device (PKWARE Unix field)'],
  [0x7075, 'has a second name (Unicode path field)'],
  [0x756e, 'may be a link or device (ASi Unix field)'],
  [0x9901, 'is encrypted (AES field)'],
]);

/** @param fields of the directory's record, or of the local header */
export function refuseExtraFields(
  fields: readonly ExtraField[],
  name: string,
  label: string,
): void {
  for (const { id } of fields) {
    const meaning = otherMeanings.get(id);
    if (meaning !== undefined) throw entryError('archive-unsupported', label, name, meaning);
  }
}

/** By type bits, as stat(2) has them. */
const kinds: ReadonlyMap<number, string> = new Map([
  [0o010000, 'is a pipe'],
  [0o020000, 'is a device'],
  [0o040000, 'is a folder whose name has no slash at its end'],
  [0o060000, 'is a device'],
  [0o100000, 'is a file whose name ends with a slash'],
  [0o120000, 'is a symlink'],
  [0o140000, 'is a socket'],
]);

/** @param mode Unix permission and type bits; 0 where the archive was made elsewhere */
function refuseKind(mode: number, isFolder: boolean, name: string, label: string): void {
  const type = mode & 0o170000;
  if (type === 0 || type === (isFolder ? 0o040000 : 0o100000)) return;
  const what = kinds.get(type) ?? `has mode ${mode.toString(8)}`;
  throw entryError('archive-path', label, name, what);
}
