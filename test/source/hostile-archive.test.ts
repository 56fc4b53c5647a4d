import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { contentDigest } from '../../src/digest/content-digest.ts';
import { RinglockError } from '../../src/errors.ts';
import { writeZip, type ZipFile } from '../../src/release/zip-writer.ts';
import { readArchive } from '../../src/source/archive/read-archive.ts';
import type { SourceFile } from '../../src/source/module-source.ts';
import { openRoot } from '../../src/store/root.ts';
import { errorOf } from '../support/error-of.ts';
import {
  extraField,
  type HandMadeEntry,
  type HandMadeZip,
  handMadeZip,
} from '../support/hand-made-zip.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const limits = { file: 1024 * 1024, module: 2 * 1024 * 1024 };

async function readAll(path: string, maxFiles = 50): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for await (const file of readArchive(path, { label: 'the package', limits, maxFiles })) {
    files.push(file);
  }
  return files;
}

function fileIn(directory: string, bytes: Uint8Array): string {
  const path = join(directory, 'package.zip');
  writeFileSync(path, bytes);
  return path;
}

const good: HandMadeEntry = { name: 'module.json', content: '{"name":"Good"}' };
const other: HandMadeEntry = { name: 'src/a.mjs', content: 'export {};\n'.repeat(20) };

/** What is wrong → the archive, the error's code, and what its message has to say. */
type Fixture = readonly [
  entries: readonly HandMadeEntry[],
  code: string,
  says: RegExp,
  zip?: HandMadeZip,
];

const hugeCrc = Buffer.alloc(8);
const fixtures: Readonly<Record<string, Fixture>> = {
  'a name that climbs out': [
    [good, { ...other, name: '../../escape.txt' }],
    ...(['archive-path', /\.\.\/\.\.\/escape\.txt/] as const),
  ],
  'a name that climbs out in the middle': [
    [{ ...other, name: 'src/../../x' }],
    'archive-path',
    /\.\. segment/,
  ],
  'an absolute name': [
    [{ ...other, name: '/etc/cron.d/x' }],
    'archive-path',
    /not a relative path/,
  ],
  'a drive letter': [[{ ...other, name: 'C:/x' }], 'archive-path', /colon/],
  'a backslash': [[{ ...other, name: '..\\..\\x' }], 'archive-path', /backslash/],
  'an empty name': [[{ ...other, name: '' }], 'archive-path', /not a relative path/],
  'a folder that climbs out': [[{ name: '../out/' }], 'archive-path', /\.\. segment/],
  'a symlink': [[{ ...other, mode: 0o120777 }], 'archive-path', /symlink/],
  'a symlink in the place of a folder': [
    [
      { name: 'src', content: '/etc', mode: 0o120777 },
      { ...other, name: 'src/passwd' },
    ],
    'archive-path',
    /symlink/,
  ],
  'a hard link of PKWARE': [
    [{ ...other, extra: extraField(0x000d, Buffer.from('............/etc/passwd')) }],
    'archive-unsupported',
    /link/,
  ],
  'a link of ASi Unix': [
    [{ ...other, extra: extraField(0x756e, Buffer.alloc(14)) }],
    'archive-unsupported',
    /link/,
  ],
  'a device': [[{ ...other, mode: 0o020666 }], 'archive-path', /device/],
  'a pipe': [[{ ...other, mode: 0o010644 }], 'archive-path', /pipe/],
  'one name twice': [[good, other, other], 'archive-path', /twice/],
  'a file that is a folder too': [
    [{ ...other, name: 'src' }, other],
    'archive-path',
    /file and a folder/,
  ],
  'a folder entry and a file of one name': [
    [{ name: 'src/' }, { ...other, name: 'src' }],
    'archive-path',
    /twice/,
  ],
  'names that differ in case': [
    [other, { ...other, name: 'src/A.mjs' }],
    'archive-path',
    /case folding/,
  ],
  'folders that differ in case': [
    [other, { ...other, name: 'SRC/b.mjs' }],
    'archive-path',
    /case folding/,
  ],
  'names that differ in normalisation': [
    [
      { ...other, name: 'caf\u00e9' },
      { ...other, name: 'cafe\u0301' },
    ],
    'archive-path',
    /NFC/,
  ],
  'the name of a device': [[{ ...other, name: 'src/aux.txt' }], 'archive-path', /device/],
  'a name with a dot at its end': [[{ ...other, name: 'src/a.' }], 'archive-path', /dot/],
  'a file of git': [[{ ...other, name: '.git/config' }], 'archive-path', /\.git/],
  'a control character': [[{ ...other, name: 'a\nb' }], 'archive-path', /control/],
  'a name with a NUL': [[{ ...other, name: 'a\0.txt' }], 'archive-path', /control/],
  'a name that is not UTF-8': [
    [{ ...other, name: Buffer.from([0x61, 0xff, 0xfe]) }],
    'archive-path',
    /not UTF-8/,
  ],
  'a name in no encoding': [
    [{ ...other, name: 'caf\u00e9', flags: 0 }],
    'archive-path',
    /encoding/,
  ],
  'a second name': [
    [{ ...other, extra: extraField(0x7075, Buffer.from('\x01....../../escape')) }],
    'archive-unsupported',
    /second name/,
  ],
  'an encrypted entry': [[{ ...other, flags: 0x0801 }], 'archive-unsupported', /encrypted/],
  'a strongly encrypted entry': [[{ ...other, flags: 0x0841 }], 'archive-', /encrypt/],
  'an AES entry': [
    [{ ...other, method: 99, data: Buffer.alloc(30), storedSize: 30 }],
    'archive-unsupported',
    /method 99/,
  ],
  'a method of bzip2': [
    [{ ...other, method: 12, data: Buffer.from('BZh9') }],
    'archive-unsupported',
    /method 12/,
  ],
  'a size behind the content': [[{ ...other, flags: 0x0808 }], 'archive-unsupported', /behind/],
  'an entry comment': [[{ ...other, comment: 'hidden' }], 'archive-invalid', /comment/],
  'a zip64 size': [
    [{ ...other, size: 0xffffffff, extra: extraField(0x0001, hugeCrc) }],
    'archive-unsupported',
    /zip64/,
  ],
  'a zip64 field that nobody asked for': [
    [{ ...other, extra: extraField(0x0001, Buffer.alloc(16)) }],
    'archive-unsupported',
    /zip64/,
  ],
  'a zip64 count': [[good], 'archive-unsupported', /zip64/, { entryCount: 0xffff }],
  'a zip64 locator': [
    [good],
    'archive-unsupported',
    /zip64/,
    { afterDirectory: Buffer.concat([Buffer.from('PK\x06\x07'), Buffer.alloc(16)]) },
  ],
  'another checksum': [[{ ...other, crc: 1 }], 'archive-invalid', /src\/a\.mjs.*checksum/],
  'more content than its size': [
    [{ ...other, size: 10 }],
    'archive-invalid',
    /more than the 10 bytes/,
  ],
  'less content than its size': [[{ ...other, size: 9000 }], 'archive-invalid', /its header says/],
  'a stored entry of two sizes': [
    [{ ...other, method: 0, size: 5 }],
    'archive-invalid',
    /size mismatch/,
  ],
  'bytes behind the end of deflated content': [
    [{ ...other, data: Buffer.concat([deflatedOf(other), Buffer.from('smuggled')]) }],
    'archive-invalid',
    /behind the end of its content/,
  ],
  'content that does not inflate': [
    [{ ...other, data: Buffer.from('not deflated at all') }],
    'archive-invalid',
    /inflated/,
  ],
  'a content of zeros only': [
    [{ name: 'bomb', content: Buffer.alloc(1024 * 1024 + 1) }],
    'archive-too-large',
    /1048577 bytes/,
  ],
  'a size that only the directory makes small': [
    [{ name: 'bomb', content: Buffer.alloc(4 * 1024 * 1024), size: 100 }],
    'archive-invalid',
    /stores|more than/,
  ],
  'files that are too large together': [
    [1, 2, 3].map((n) => ({ name: `f${n}`, content: Buffer.alloc(1024 * 1024 - 1, n) })),
    'archive-too-large',
    /files of 3145725 bytes/,
  ],
  'too many files': [
    Array.from({ length: 51 }, (_, n) => ({ name: `f${n}`, content: 'x' })),
    'archive-too-large',
    /51 files/,
  ],
  'too many folders': [
    Array.from({ length: 101 }, (_, n) => ({ name: `f${n}/` })),
    'archive-too-large',
    /101 entries/,
  ],
  'a folder with content': [[{ name: 'src/', content: 'x' }], 'archive-invalid', /folder/],
  'two names for one content': [
    [good, { ...good, name: 'again', isGhost: true, offset: 0 }],
    'archive-invalid',
    /begins at 0/,
  ],
  'an entry inside another': [
    [
      { name: 'outer', content: handMadeZip([other]), method: 0 },
      { ...other, isGhost: true, offset: 35 },
    ],
    'archive-invalid',
    /begins at 35/,
  ],
  'an entry that reaches into the directory': [
    [{ ...other, method: 0, storedSize: 240, size: 240 }],
    'archive-invalid',
    /directory/,
  ],
  'an entry beyond the end': [[{ ...other, offset: 5000 }], 'archive-invalid', /begins at 5000/],
  'something before the archive': [
    [good],
    'archive-invalid',
    /begins at 11/,
    { before: Buffer.from('#!/bin/sh\n\n') },
  ],
  'something before it, with offsets that ignore it': [
    [{ ...good, offset: 0 }],
    'archive-invalid',
    /invalid local file header/,
    { before: Buffer.from('MZ') },
  ],
  'something before the directory': [
    [good],
    'archive-invalid',
    /5 bytes before its directory/,
    { beforeDirectory: Buffer.from('extra') },
  ],
  'something behind the directory': [
    [good],
    'archive-invalid',
    /does not lead to its end/,
    { afterDirectory: Buffer.from('extra') },
  ],
  'something behind the archive': [
    [good],
    'archive-invalid',
    /does not end with/,
    { after: Buffer.from('tail') },
  ],
  'a comment': [[good], 'archive-invalid', /does not end with/, { comment: Buffer.from('hello') }],
  'another archive in the comment': [
    [good],
    'archive-invalid',
    /does not lead to its end|begins at/,
    { comment: handMadeZip([{ name: 'evil', content: 'x' }]) },
  ],
  'fewer entries counted than there are': [
    [good, other],
    'archive-invalid',
    /directory of/,
    { entryCount: 1 },
  ],
  'more entries counted than there are': [
    [good],
    'archive-invalid',
    /cannot be read|directory of/,
    { entryCount: 2 },
  ],
  'a directory elsewhere': [
    [good],
    'archive-invalid',
    /does not lead to its end/,
    { directoryOffset: 3 },
  ],
  'several parts': [[good], 'archive-unsupported', /several parts/, { disk: 1 }],
  'another name in its own header': [
    [{ ...other, local: { name: 'src/b.mjs' } }],
    'archive-invalid',
    /another name/,
  ],
  'another size in its own header': [
    [{ ...other, local: { size: 3 } }],
    'archive-invalid',
    /another size/,
  ],
  'another stored size in its own header': [
    [{ ...other, local: { storedSize: 3 } }],
    'archive-invalid',
    /another stored size/,
  ],
  'another method in its own header': [
    [{ ...other, local: { method: 0, storedSize: deflatedOf(other).length } }],
    'archive-invalid',
    /another method/,
  ],
  'another checksum in its own header': [
    [{ ...other, local: { crc: 7 } }],
    'archive-invalid',
    /another checksum/,
  ],
  'other flags in its own header': [
    [{ ...other, local: { flags: 0 } }],
    'archive-invalid',
    /another flags/,
  ],
  'a second name in its own header': [
    [{ ...other, local: { extra: extraField(0x7075, Buffer.from('\x01....evil')) } }],
    'archive-unsupported',
    /second name/,
  ],
};

function deflatedOf({ content = '' }: HandMadeEntry): Buffer {
  const zip = handMadeZip([{ name: 'x', content }]);
  return zip.subarray(31, 31 + zip.readUInt32LE(18));
}

for (const [what, [entries, code, says, zip]] of Object.entries(fixtures)) {
  test(`refuses an archive with ${what}`, async (t) => {
    const directory = temporaryDirectory(t, 'archive');
    const path = fileIn(directory, handMadeZip(entries, zip));
    const root = await openRoot({
      path: join(directory, 'root'),
      link: 'symlink',
      keepGenerations: 3,
      retainForMs: 0,
      now: () => new Date(),
    });
    t.after(() => root.close());
    const before = readdirSync(directory, { recursive: true }).sort();
    const pin = { alias: 'good', version: '1.0.0', sha256: `sha256:${'0'.repeat(64)}` };
    const files = readArchive(path, { label: 'the package', limits, maxFiles: 50 });
    const error = await errorOf(root.stage(pin, files, 'artifact'));
    assert.ok(error.code.startsWith(code), `${error.code}: ${error.message}`);
    assert.match(error.message, says);
    assert.equal(error.exitCode, 1);
    assert.deepEqual(readdirSync(directory, { recursive: true }).sort(), before);
  });
}

test('refuses an archive that is small and becomes large, before it inflates any of it', async (t) => {
  const zeros = Buffer.alloc(20 * 1024 * 1024);
  const path = fileIn(
    temporaryDirectory(t),
    handMadeZip([good, { name: 'zeros', content: zeros }]),
  );
  const large = { file: 64 * 1024 * 1024, module: 64 * 1024 * 1024 };
  const files = readArchive(path, { label: 'the package', limits: large, maxFiles: 50 });
  const error = await errorOf(files.next());
  assert.equal(error.code, 'archive-too-large');
  assert.match(error.message, /become 20971535, more than 200 times/);
});

test('reads what other tools make: folders, times, stored and deflated files, modes', async (t) => {
  const time = extraField(0x5455, Buffer.alloc(5));
  const bytes = handMadeZip([
    { name: 'src/', extra: time },
    { ...other, extra: time },
    { name: 'run.sh', content: '#!/bin/sh\n', method: 0, mode: 0o100755, flags: 0 },
    { name: 'empty' },
    { name: 'caf\u00e9', content: 'x' },
  ]);
  const files = await readAll(fileIn(temporaryDirectory(t), bytes));
  assert.deepEqual(
    files.map(({ path, executable, content }) => [path, executable, content.length]),
    [
      ['src/a.mjs', false, 220],
      ['run.sh', true, 10],
      ['empty', false, 0],
      ['caf\u00e9', false, 1],
    ],
  );
});

const sample: readonly ZipFile[] = [
  { path: 'module.json', executable: false, content: Buffer.from('{"alias":"a"}') },
  { path: 'bin/run', executable: true, content: Buffer.from('#!/bin/sh\necho run\n') },
  { path: 'src/t.txt', executable: false, content: Buffer.from('text '.repeat(40)) },
];

test('gives back the files of every package that ringlock makes', async (t) => {
  const directory = temporaryDirectory(t);
  const name = fc.stringMatching(/^[a-z0-9_-]{1,8}$/);
  const path = fc
    .array(name, { minLength: 1, maxLength: 3 })
    .map((parts) => `d${parts.join('/f')}`);
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(20_000))
      .map(([part, times]) => Buffer.concat(Array.from({ length: times % 2000 }, () => part))),
  );
  const file = fc.record({
    path: path.map((one) => `${one}.txt`),
    executable: fc.boolean(),
    content,
  });
  const files = fc.uniqueArray(file, { selector: (one) => one.path, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(files, async (made) => {
      const found = await readAll(fileIn(directory, writeZip(made)));
      const byPath = new Map(found.map((one) => [one.path, one]));
      assert.equal(found.length, made.length);
      for (const { path: name, executable, content: bytes } of made) {
        assert.equal(byPath.get(name)?.executable, executable);
        assert.ok(Buffer.from(bytes).equals(byPath.get(name)?.content ?? Buffer.alloc(0)));
      }
    }),
    { numRuns: 100 },
  );
});

test('refuses a package that is cut off at any byte', async (t) => {
  const directory = temporaryDirectory(t);
  const zip = writeZip(sample);
  assert.equal((await readAll(fileIn(directory, zip))).length, 3);
  for (let length = 0; length < zip.length; length++) {
    const error = await errorOf(readAll(fileIn(directory, zip.subarray(0, length))));
    assert.match(error.code, /^archive-/, `cut off after ${length} of ${zip.length} bytes`);
  }
});

test('gives the right files or refuses, whatever bytes of a package are changed', async (t) => {
  const directory = temporaryDirectory(t);
  const zip = writeZip(sample);
  const right = digestOf(sample);
  const change = fc.record({ at: fc.nat(zip.length - 1), to: fc.nat(255) });
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const bytes = Buffer.from(zip);
      for (const { at, to } of changes) bytes[at] = to;
      const found = await outcome(readAll(fileIn(directory, bytes)));
      if (found instanceof RinglockError) {
        refusals += 1;
        assert.match(found.code, /^archive-/);
      } else assert.equal(digestOf(found), right);
    }),
    { numRuns: 2000 },
  );
  assert.ok(refusals > 500, `${refusals} refusals`);
});

test('gives the right files or refuses, whatever bytes are put in, taken out or moved', async (t) => {
  const directory = temporaryDirectory(t);
  const zip = writeZip(sample);
  const right = digestOf(sample);
  const cut = fc.tuple(fc.nat(zip.length), fc.nat(60), fc.uint8Array({ maxLength: 60 }));
  await fc.assert(
    fc.asyncProperty(cut, async ([at, taken, put]) => {
      const bytes = Buffer.concat([zip.subarray(0, at), put, zip.subarray(at + taken)]);
      const found = await outcome(readAll(fileIn(directory, bytes)));
      if (found instanceof RinglockError) assert.match(found.code, /^archive-/);
      else assert.equal(digestOf(found), right);
    }),
    { numRuns: 1000 },
  );
});

async function outcome(reading: Promise<SourceFile[]>): Promise<SourceFile[] | RinglockError> {
  try {
    return await reading;
  } catch (error) {
    assert.ok(error instanceof RinglockError, `not a refusal: ${String(error)}`);
    return error;
  }
}

function digestOf(files: readonly SourceFile[]): string {
  return contentDigest(
    files.map(({ path, content }) => ({ path, sha256: Buffer.from(content).toString('hex') })),
  );
}
