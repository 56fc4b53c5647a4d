import { crc32, deflateRawSync } from 'node:zlib';

/** An entry of an archive that a test makes byte by byte; what is not given is as it should be. */
export interface HandMadeEntry {
  readonly name: string | Buffer;
  readonly content?: string | Uint8Array;
  /** 0 stored, 8 deflated (default where there is content). */
  readonly method?: number;
  readonly flags?: number;
  /** Unix mode with its type bits; 0o100644 by default, 0o40755 for a name with a slash at its end. */
  readonly mode?: number;
  readonly crc?: number;
  /** The bytes that stand for the content. */
  readonly data?: Uint8Array;
  readonly size?: number;
  readonly storedSize?: number;
  readonly extra?: Buffer;
  readonly comment?: string;
  /** Where the directory says that it lies. */
  readonly offset?: number;
  /** Only in the directory: its local header and data are left out. */
  readonly isGhost?: boolean;
  /** What the local header says instead. */
  readonly local?: Partial<Omit<HandMadeEntry, 'local'>>;
}

export interface HandMadeZip {
  readonly before?: Uint8Array;
  /** Between the files and the directory, and between the directory and its end. */
  readonly beforeDirectory?: Uint8Array;
  readonly afterDirectory?: Uint8Array;
  readonly after?: Uint8Array;
  readonly comment?: Uint8Array;
  readonly entryCount?: number;
  readonly directorySize?: number;
  readonly directoryOffset?: number;
  readonly disk?: number;
}

/** Two bytes of id, two of length, the data (APPNOTE 4.5). */
export function extraField(id: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(id, 0);
  head.writeUInt16LE(data.length, 2);
  return Buffer.concat([head, data]);
}

export function handMadeZip(entries: readonly HandMadeEntry[], zip: HandMadeZip = {}): Buffer {
  const parts: Uint8Array[] = [zip.before ?? Buffer.alloc(0)];
  const directory: Buffer[] = [];
  let offset = parts[0]?.length ?? 0;
  for (const entry of entries) {
    const record = completed(entry);
    directory.push(centralRecord(record, entry.offset ?? offset));
    if (entry.isGhost === true) continue;
    const local = localRecord(completed({ ...entry, ...entry.local }));
    const written = Buffer.concat([local, record.data]);
    parts.push(written);
    offset += written.length;
  }
  parts.push(zip.beforeDirectory ?? Buffer.alloc(0));
  offset += zip.beforeDirectory?.length ?? 0;
  const records = Buffer.concat(directory);
  const end = endRecord(entries.length, records.length, offset, zip);
  return Buffer.concat([
    ...parts,
    ...[records, zip.afterDirectory ?? Buffer.alloc(0), end],
    ...[zip.comment ?? Buffer.alloc(0), zip.after ?? Buffer.alloc(0)],
  ]);
}

function completed(entry: HandMadeEntry) {
  const name = Buffer.from(entry.name);
  const content = Buffer.from(entry.content ?? '');
  const { method = content.length > 0 ? 8 : 0 } = entry;
  const data = entry.data ?? (method === 8 ? deflateRawSync(content) : content);
  const isFolder = name.at(-1) === 0x2f;
  return {
    ...{ name, method, data, extra: entry.extra ?? Buffer.alloc(0) },
    comment: Buffer.from(entry.comment ?? ''),
    flags: entry.flags ?? 0x0800,
    mode: entry.mode ?? (isFolder ? 0o40755 : 0o100644),
    crc: entry.crc ?? crc32(content),
    size: entry.size ?? content.length,
    storedSize: entry.storedSize ?? data.length,
  };
}

type Completed = ReturnType<typeof completed>;

function localRecord(record: Completed): Buffer {
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  writeShared(header, record, 4);
  return Buffer.concat([header, record.name, record.extra]);
}

function centralRecord(record: Completed, offset: number): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE((3 << 8) | 20, 4);
  writeShared(header, record, 6);
  header.writeUInt16LE(record.comment.length, 32);
  header.writeUInt32LE(record.mode * 0x10000, 38);
  header.writeUInt32LE(offset, 42);
  return Buffer.concat([header, record.name, record.extra, record.comment]);
}

function writeShared(header: Buffer, record: Completed, at: number): void {
  header.writeUInt16LE(20, at);
  header.writeUInt16LE(record.flags, at + 2);
  header.writeUInt16LE(record.method, at + 4);
  header.writeUInt16LE((1 << 5) | 1, at + 8);
  header.writeUInt32LE(record.crc, at + 10);
  header.writeUInt32LE(record.storedSize, at + 14);
  header.writeUInt32LE(record.size, at + 18);
  header.writeUInt16LE(record.name.length, at + 22);
  header.writeUInt16LE(record.extra.length, at + 24);
}

function endRecord(count: number, size: number, offset: number, zip: HandMadeZip): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(zip.disk ?? 0, 4);
  end.writeUInt16LE(zip.entryCount ?? count, 8);
  end.writeUInt16LE(zip.entryCount ?? count, 10);
  end.writeUInt32LE(zip.directorySize ?? size, 12);
  end.writeUInt32LE(zip.directoryOffset ?? offset, 16);
  end.writeUInt16LE(zip.comment?.length ?? 0, 20);
  return end;
}
