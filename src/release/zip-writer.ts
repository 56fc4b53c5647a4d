import { crc32 } from 'node:zlib';
import { deflateSync } from 'fflate';
import { byPathBytes } from '../digest/content-digest.ts';
import { refused } from '../errors.ts';

/** A file to put into an archive. */
export interface ZipFile {
  /** Relative, `/`-separated. */
  readonly path: string;
  readonly executable: boolean;
  readonly content: Uint8Array;
}

/** APPNOTE 4.4: 2.0, the version that deflate needs, made on Unix (3), whose modes are then meant. */
const versionNeeded = 20;
const versionMadeBy = (3 << 8) | versionNeeded;
/** Bit 11: names are UTF-8. */
const flags = 0x0800;
/** 1980-01-01 00:00:00, the first moment that the format has. */
const fixedTime = 0;
const fixedDate = (1 << 5) | 1;
const stored = 0;
const deflated = 8;
/** What a zip without the zip64 extension can count, and where it can point to. */
const mostEntries = 0xffff - 1;
const mostBytes = 0xffff_ffff - 1;

/**
 * A zip archive that is a function of its files alone: sorted bytewise by path, one time for all, no extra
 * fields, compressed by fflate, whose output is the same on every machine (zlib's is not).
 *
 * @throws RinglockError `package-too-large` for what a zip without zip64 cannot hold
 */
export function writeZip(files: readonly ZipFile[]): Uint8Array {
  if (files.length > mostEntries) {
    throw tooLarge(`${files.length} files, expected at most ${mostEntries}`);
  }
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const file of [...files].sort(byPathBytes)) {
    const packed = pack(file);
    parts.push(localHeader(packed), packed.data);
    directory.push(centralHeader(packed, offset));
    offset += localHeaderSize + packed.name.length + packed.data.length;
    if (offset > mostBytes) throw tooLarge(`more than ${mostBytes} bytes`);
  }
  const directorySize = directory.reduce((sum, { length }) => sum + length, 0);
  if (offset + directorySize > mostBytes) throw tooLarge(`more than ${mostBytes} bytes`);
  parts.push(...directory, endOfDirectory(files.length, directorySize, offset));
  return Buffer.concat(parts);
}

interface PackedFile {
  readonly name: Buffer;
  readonly mode: number;
  readonly method: number;
  readonly crc: number;
  readonly size: number;
  readonly data: Uint8Array;
}

function pack({ path, executable, content }: ZipFile): PackedFile {
  const smaller = compressed(content);
  return {
    name: Buffer.from(path),
    mode: executable ? 0o100755 : 0o100644,
    method: smaller === undefined ? stored : deflated,
    crc: crc32(content),
    size: content.length,
    data: smaller ?? content,
  };
}

/** Level and memory are fixed: fflate takes the memory from a logarithm of the size else. */
const compression = { level: 6, mem: 2 } as const;

/** Undefined where compression gains nothing. */
function compressed(content: Uint8Array): Uint8Array | undefined {
  if (content.length === 0) return undefined;
  const data = deflateSync(content, compression);
  return data.length < content.length ? data : undefined;
}

const localHeaderSize = 30;

function localHeader(file: PackedFile): Buffer {
  const header = Buffer.alloc(localHeaderSize + file.name.length);
  header.writeUInt32LE(0x04034b50, 0);
  writeCommon(header, file, 4);
  file.name.copy(header, localHeaderSize);
  return header;
}

function centralHeader(file: PackedFile, offset: number): Buffer {
  const header = Buffer.alloc(46 + file.name.length);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(versionMadeBy, 4);
  writeCommon(header, file, 6);
  header.writeUInt32LE(file.mode * 0x10000, 38);
  header.writeUInt32LE(offset, 42);
  file.name.copy(header, 46);
  return header;
}

/** From `version needed` to `extra field length`, alike in both headers. */
function writeCommon(header: Buffer, { name, method, crc, size, data }: PackedFile, at: number) {
  header.writeUInt16LE(versionNeeded, at);
  header.writeUInt16LE(flags, at + 2);
  header.writeUInt16LE(method, at + 4);
  header.writeUInt16LE(fixedTime, at + 6);
  header.writeUInt16LE(fixedDate, at + 8);
  header.writeUInt32LE(crc, at + 10);
  header.writeUInt32LE(data.length, at + 14);
  header.writeUInt32LE(size, at + 18);
  header.writeUInt16LE(name.length, at + 22);
}

function endOfDirectory(entries: number, size: number, offset: number): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries, 8);
  end.writeUInt16LE(entries, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  return end;
}

function tooLarge(found: string): Error {
  return refused('package-too-large', `the module has ${found} in one package`, {
    hint: 'Leave out what is not needed with distribution.exclude in module.json.',
  });
}
