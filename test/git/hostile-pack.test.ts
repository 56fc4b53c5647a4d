import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { RinglockError } from '../../src/errors.ts';
import { applyDelta } from '../../src/git/delta.ts';
import { openObjectDatabase } from '../../src/git/object-database.ts';
import { defaultLimits, type Limits } from '../../src/repo/limits.ts';
import {
  blob,
  copyingDelta,
  objectId,
  type PackEntry,
  packOf,
  prependingDelta,
  sealed,
} from '../support/hand-made-pack.ts';
import { createRepository, gitEnvironment } from '../support/repository.ts';
import { packFiles } from '../support/served-repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const mebibyte = 1024 * 1024;
/** Small ones, so that what is over them is quick to make. */
const limits: Limits = { ...defaultLimits, fetch: 2 * mebibyte, file: mebibyte };

async function openEmpty(t: TestContext) {
  return openObjectDatabase(join(temporaryDirectory(t, 'root'), 'repo.git'), limits);
}

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 65_536) {
    yield bytes.subarray(start, start + 65_536);
  }
}

const base = Buffer.from('a base of some length, for deltas');
const baseId = objectId('blob', base);
const delta = (content: Uint8Array, more: Partial<PackEntry> = { back: 1 }): PackEntry => ({
  type: 6,
  content,
  ...more,
});

/** A chain in which each object is a delta of the one before. */
function chainOf(length: number): PackEntry[] {
  return Array.from({ length }, (_, index) =>
    delta(prependingDelta(base.length + index, 'x'), { back: 1 }),
  );
}

/** Deltas that make `each` bytes again and again of a small base: 2 KB a gigabyte. */
function multiplied(count: number, each: number): PackEntry[] {
  const first = Buffer.alloc(65_536, 'a');
  return [
    blob(first),
    ...Array.from({ length: count }, (_, index) =>
      delta(copyingDelta(first.length, each - index), { back: index + 1 }),
    ),
  ];
}

const hostile: readonly {
  readonly what: string;
  readonly pack: () => Buffer;
  readonly code: string;
  readonly message: RegExp;
}[] = [
  {
    what: 'an object that says it has gigabytes',
    pack: () => packOf([{ ...blob('small'), size: 2 ** 40 }]),
    code: 'limit-exceeded',
    message: /^an object has more than 1 MiB$/,
  },
  {
    what: 'an object that says it has more bytes than can be counted',
    pack: () => packOf([{ ...blob('small'), size: 2 ** 53 * 2 ** 40 }]),
    code: 'limit-exceeded',
    message: /^an object has more than 1 MiB$/,
  },
  {
    what: 'a stream that inflates to a thousand times what it says',
    pack: () => packOf([{ ...blob('small'), deflated: deflateSync(Buffer.alloc(64 * mebibyte)) }]),
    code: 'fetch-corrupt',
    message: /an object has more than the 5 bytes that it says/,
  },
  {
    what: 'a stream with less than it says',
    pack: () => packOf([{ ...blob('small'), size: 500 }]),
    code: 'fetch-corrupt',
    message: /an object has 5 bytes, expected 500/,
  },
  {
    what: 'a stream that is no zlib',
    pack: () => packOf([{ ...blob('small'), deflated: Buffer.from('not deflated at all') }]),
    code: 'fetch-corrupt',
    message: /a pack cannot be read: incorrect header check/,
  },
  {
    what: 'small deltas that make gigabytes',
    pack: () => packOf(multiplied(40, mebibyte)),
    code: 'limit-exceeded',
    message: /^a pack unpacks to more than 16 MiB$/,
  },
  {
    what: 'a delta that makes one enormous object',
    pack: () => packOf([blob(base), delta(copyingDelta(base.length, 2 ** 20 + 1))]),
    code: 'limit-exceeded',
    message: /^an object has more than 1 MiB$/,
  },
  {
    what: 'a delta that says it makes terabytes',
    pack: () => packOf([blob(base), delta(copyingDelta(base.length, 10, 2 ** 44))]),
    code: 'limit-exceeded',
    message: /^an object has more than 1 MiB$/,
  },
  {
    what: 'a chain of thousands of deltas',
    pack: () => packOf([blob(base), ...chainOf(4000)]),
    code: 'limit-exceeded',
    message: /^a pack has a chain of more than 256 deltas$/,
  },
  {
    what: 'a delta that copies from beyond its base',
    pack: () => packOf([blob(base), delta(Buffer.from([base.length, 9, 0x91, 200, 9]))]),
    code: 'fetch-corrupt',
    message: /a delta copies beyond its base/,
  },
  {
    what: 'a delta for a base of another size',
    pack: () => packOf([blob(base), delta(copyingDelta(7, 7))]),
    code: 'fetch-corrupt',
    message: /a delta expects a base of 7 bytes, found 33/,
  },
  {
    what: 'a delta of itself',
    pack: () => packOf([blob(base), delta(copyingDelta(base.length, 5), { distance: 0 })]),
    code: 'fetch-corrupt',
    message: /a delta names a base where no object starts/,
  },
  {
    what: 'a delta of what stands before the pack',
    pack: () => packOf([blob(base), delta(copyingDelta(base.length, 5), { distance: 9999 })]),
    code: 'fetch-corrupt',
    message: /a delta names a base where no object starts/,
  },
  {
    what: 'deltas that are each other’s base',
    pack: () => {
      const other = objectId('blob', base.subarray(0, 5));
      return packOf([
        { type: 7, content: copyingDelta(base.length, 5), base: baseId },
        { type: 7, content: copyingDelta(5, base.length), base: other },
      ]);
    },
    code: 'fetch-corrupt',
    message: /only 0 of a pack's 2 objects can be read/,
  },
  {
    what: 'a delta whose base is elsewhere',
    pack: () => packOf([{ type: 7, content: copyingDelta(base.length, 5), base: baseId }]),
    code: 'fetch-corrupt',
    message: /only 0 of a pack's 1 objects can be read/,
  },
  {
    what: 'an object twice',
    pack: () => packOf([blob(base), blob(base)]),
    code: 'fetch-corrupt',
    message: new RegExp(`it has ${baseId} twice`),
  },
  {
    what: 'four thousand million objects',
    pack: () => packOf([blob(base)], { count: 2 ** 32 - 1 }),
    code: 'limit-exceeded',
    message: /^a pack has 4294967295 objects, more than 1000000$/,
  },
  {
    what: 'fewer objects than it says',
    pack: () => packOf([blob(base)], { count: 3 }),
    code: 'fetch-corrupt',
    message: /it has fewer objects than it says/,
  },
  {
    what: 'more after its objects',
    pack: () => packOf([blob(base)], { after: 'something else' }),
    code: 'fetch-corrupt',
    message: /14 bytes stand after its 1 objects/,
  },
  {
    what: 'an object of no type',
    pack: () => packOf([{ type: 5, content: base }]),
    code: 'fetch-corrupt',
    message: /an object has type 5/,
  },
  {
    what: 'more bytes than a fetch may have',
    pack: () => packOf([{ type: 3, content: base, deflated: Buffer.alloc(3 * mebibyte) }]),
    code: 'limit-exceeded',
    message: /^a pack has more than 2 MiB$/,
  },
];

test('a hostile pack is refused by name, and nothing of it stays', async (t) => {
  const database = await openEmpty(t);
  const before = packFiles(database);
  for (const { what, pack, code, message } of hostile) {
    const error = await database.importPack(inChunks(pack())).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof RinglockError, `${what}: ${String(error)}`);
    assert.equal(error.code, code, what);
    assert.match(error.message, message, what);
    assert.deepEqual(packFiles(database), before, what);
  }
});

test('what is just within the limits is taken in and read again', async (t) => {
  const database = await openEmpty(t);
  const chain = [blob(base), ...chainOf(256)];
  await database.importPack(inChunks(packOf(chain)));
  const last = Buffer.concat([Buffer.alloc(256, 'x'), base]);
  assert.deepEqual(Buffer.from(await database.readBlob(objectId('blob', last))), last);
  const largest = Buffer.alloc(mebibyte, 'large');
  await database.importPack(inChunks(packOf([blob(largest)])));
  assert.deepEqual(Buffer.from(await database.readBlob(objectId('blob', largest))), largest);
});

test('a file beside the packs that inflates without end is refused', async (t) => {
  const repository = createRepository(t);
  repository.write({ 'large.bin': Buffer.alloc(2 * mebibyte) });
  const oid = repository.git('hash-object', '-w', 'large.bin');
  const database = await openObjectDatabase(join(repository.path, '.git'), limits);
  await assert.rejects(database.readBlob(oid), {
    code: 'limit-exceeded',
    message: 'an object has more than 1 MiB',
  });
});

test('writes the index that git writes, deltas by offsets and by ids', async (t) => {
  const repository = createRepository(t);
  for (let version = 0; version < 6; version++) {
    const lines = Array.from({ length: 300 }, (_, line) => `${line}: ${line % 6 === version}`);
    repository.commit(`Version ${version}`, { 'a.txt': lines.join('\n') });
  }
  for (const options of [['--delta-base-offset'], []]) {
    const { stdout } = spawnSync('git', ['pack-objects', '--revs', '--stdout', '-q', ...options], {
      cwd: repository.path,
      env: gitEnvironment,
      input: 'HEAD\n',
    });
    const database = await openEmpty(t);
    await database.importPack(inChunks(stdout));
    const [ours = ''] = packFiles(database).filter((file) => file.endsWith('.idx'));
    const theirs = join(temporaryDirectory(t), 'theirs.idx');
    const pack = ours.replace(/idx$/, 'pack');
    const indexed = spawnSync('git', ['index-pack', '-o', theirs, pack], { env: gitEnvironment });
    assert.equal(indexed.status, 0, String(indexed.stderr));
    assert.deepEqual(readFileSync(ours), readFileSync(theirs));
  }
});

test('any bytes in a pack end in a RinglockError or in objects that are as their ids say', async (t) => {
  const database = await openEmpty(t);
  const good = packOf([
    blob(base),
    delta(prependingDelta(base.length, 'x')),
    { type: 7, content: prependingDelta(base.length, 'yy'), base: baseId },
    ...multiplied(2, 70_000).slice(0, 2),
  ]).subarray(0, -20);
  const change = fc.record({ at: fc.nat(good.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const bytes = Buffer.from(good);
      for (const { at, byte } of changes) bytes[at] = byte;
      await database.importPack(inChunks(sealed(bytes))).catch((error: unknown) => {
        assert.ok(error instanceof RinglockError, String(error));
        assert.match(error.code, /^(fetch-corrupt|limit-exceeded)$/);
      });
    }),
    { numRuns: 150 },
  );
});

test('any bytes as a delta make an object of the size that they say, or an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, isForBase) => {
      const start = isForBase ? [base.length] : [];
      try {
        const made = applyDelta(base, Buffer.from([...start, ...bytes]), 10_000);
        assert.ok(made.length <= 10_000);
      } catch (error) {
        assert.ok(error instanceof Error && !/Maximum call stack|Array buffer/.test(error.message));
      }
    }),
    { numRuns: 2000 },
  );
});
