import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type ObjectDatabase, openObjectDatabase } from '../../src/git/object-database.ts';
import { writePack } from '../../src/git/write-pack.ts';
import { createRepository, gitEnvironment, type Repository } from '../support/repository.ts';
import { packFiles } from '../support/served-repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function openEmpty(t: TestContext): Promise<ObjectDatabase> {
  return openObjectDatabase(join(temporaryDirectory(t, 'root'), 'repo.git'));
}

/** A pack that git made of everything a commit reaches. */
function packOf(repository: Repository, revision: string, ...options: string[]): Buffer {
  const { stdout, status } = spawnSync(
    'git',
    ['pack-objects', '--revs', '--stdout', '-q', '--window=50', ...options],
    {
      cwd: repository.path,
      env: gitEnvironment,
      input: `${repository.git('rev-parse', revision)}\n`,
      maxBuffer: 1 << 30,
    },
  );
  assert.equal(status, 0);
  return stdout;
}

async function* inChunks(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size)
    yield bytes.subarray(start, start + size);
}

function commitVersions(repository: Repository): void {
  for (let version = 0; version < 8; version++) {
    const lines = Array.from({ length: 500 }, (_, line) => `${line}: ${line % 8 === version}`);
    repository.commit(`Version ${version}`, { 'modules/Orders/orders.txt': lines.join('\n') });
  }
}

for (const [name, options] of [
  ['offsets', ['--delta-base-offset']],
  ['ids', []],
] as const) {
  test(`reads a pack whose deltas name their bases by ${name}`, async (t) => {
    const repository = createRepository(t);
    commitVersions(repository);
    const pack = packOf(repository, 'HEAD', ...options);
    const database = await openEmpty(t);
    const objects = await database.importPack(inChunks(pack));
    assert.equal(objects, pack.readUInt32BE(8));
    const [packed] = packFiles(database).filter((file) => file.endsWith('.pack'));
    assert.match(
      execFileSync('git', ['verify-pack', '-v', packed ?? ''], { encoding: 'utf8' }),
      /chain length = [1-9]/,
    );
    for (let back = 0; back < 8; back++) {
      const path = `HEAD~${back}:modules/Orders/orders.txt`;
      const content = await database.readBlob(repository.git('rev-parse', path));
      assert.equal(Buffer.from(content).toString(), repository.git('show', path));
    }
  });
}

test('a pack cut off at any byte changes nothing', async (t) => {
  const repository = createRepository(t);
  repository.commit('Start', { 'modules/Orders/orders.txt': 'orders\n' });
  const pack = packOf(repository, 'HEAD');
  const database = await openEmpty(t);
  const before = packFiles(database);
  for (let end = 0; end < pack.length; end++) {
    await assert.rejects(database.importPack(inChunks(pack.subarray(0, end), 50)), {
      code: /^fetch-(incomplete|corrupt)$/,
    });
    assert.deepEqual(packFiles(database), before, `cut after ${end}`);
  }
  await database.importPack(inChunks(pack, 1));
  assert.equal(await database.has(repository.git('rev-parse', 'HEAD')), true);
});

test('a pack with any bit turned is refused', async (t) => {
  const repository = createRepository(t);
  repository.commit('Start', { 'modules/Orders/orders.txt': 'orders\n' });
  const pack = packOf(repository, 'HEAD');
  const database = await openEmpty(t);
  for (let at = 0; at < pack.length; at++) {
    const turned = Buffer.from(pack);
    turned[at] = (turned[at] ?? 0) ^ (1 << (at % 8));
    await assert.rejects(database.importPack(inChunks(turned)), { code: 'fetch-corrupt' });
  }
  assert.equal(await database.has(repository.git('rev-parse', 'HEAD')), false);
});

test('a pack whose deltas have no base here is refused', async (t) => {
  const repository = createRepository(t);
  commitVersions(repository);
  const { stdout } = spawnSync('git', ['pack-objects', '--revs', '--thin', '--stdout', '-q'], {
    cwd: repository.path,
    env: gitEnvironment,
    input: 'HEAD\n^HEAD~1\n',
  });
  const database = await openEmpty(t);
  await assert.rejects(database.importPack(inChunks(stdout)), {
    code: 'fetch-corrupt',
    message: /only \d of a pack's \d objects can be read/,
  });
});

test('what is verified and refused is not published', async (t) => {
  const repository = createRepository(t);
  const commit = repository.commit('Start', { 'a.txt': 'a\n' });
  const database = await openEmpty(t);
  const before = packFiles(database);
  const refusal = database.importPack(inChunks(packOf(repository, 'HEAD')), async (view) => {
    assert.equal((await view.readCommit(commit)).message, 'Start\n');
    throw new Error('not good enough');
  });
  await assert.rejects(refusal, /not good enough/);
  assert.deepEqual(packFiles(database), before);
  await assert.rejects(database.readCommit(commit), { code: 'object-missing' });
});

test('what an interrupted import left is deleted when the database is opened', async (t) => {
  const repository = createRepository(t);
  const commit = repository.commit('Start', { 'a.txt': 'a\n' });
  const database = await openEmpty(t);
  await database.importPack(inChunks(packOf(repository, 'HEAD')));
  const whole = packFiles(database);
  const packs = join(database.gitdir, 'objects/pack');
  writeFileSync(join(packs, 'pack-1234.pack'), 'PACK without an index');
  writeFileSync(join(packs, 'pack-5678.idx'), 'index without a pack');
  writeFileSync(join(packs, 'pack-9abc.pack'), 'PACK with a torn index');
  writeFileSync(join(packs, 'pack-9abc.idx'), 'torn');
  mkdirSync(join(database.gitdir, 'incoming/1/objects/pack'), { recursive: true });
  writeFileSync(join(database.gitdir, 'incoming/1/objects/pack/received.pack'), 'PACK');
  const again = await openObjectDatabase(database.gitdir);
  assert.deepEqual(packFiles(again), whole);
  assert.equal(await again.has(commit), true);
});

test('keeps refs, and gives no ref where none or a broken one is', async (t) => {
  const database = await openEmpty(t);
  const oid = '1234567812345678123456781234567812345678';
  assert.equal(await database.readRef('refs/ringlock/last'), undefined);
  await database.writeRef('refs/ringlock/last', oid);
  assert.equal(await database.readRef('refs/ringlock/last'), oid);
  const again = await openObjectDatabase(database.gitdir);
  assert.equal(await again.readRef('refs/ringlock/last'), oid);
  assert.deepEqual(readdirSync(join(database.gitdir, 'refs/ringlock')), ['last']);
  writeFileSync(join(database.gitdir, 'refs/ringlock/last'), oid.slice(0, 20));
  assert.equal(await database.readRef('refs/ringlock/last'), undefined);
});

test('leaves nothing of a ref that could not be written, once it is opened again', async (t) => {
  const { gitdir, writeRef } = await openEmpty(t);
  mkdirSync(join(gitdir, 'refs/ringlock/last/in-the-way'), { recursive: true });
  await assert.rejects(writeRef('refs/ringlock/last', '1234567812345678123456781234567812345678'));
  await openObjectDatabase(gitdir);
  assert.deepEqual(readdirSync(join(gitdir, 'refs/ringlock')), ['last']);
  assert.equal(existsSync(join(gitdir, 'incoming')), false);
});

for (const left of [undefined, '', 'ref: refs/he']) {
  test(`finishes a database whose making was cut off with HEAD ${left ?? 'missing'}`, async (t) => {
    const { gitdir } = await openEmpty(t);
    const repository = createRepository(t);
    const commit = repository.commit('First', { 'a.txt': 'a' });
    rmSync(join(gitdir, 'HEAD'));
    if (left !== undefined) writeFileSync(join(gitdir, 'HEAD'), left);
    for (const round of ['first', 'later']) {
      const database = await openObjectDatabase(gitdir);
      await database.importPack(inChunks(packOf(repository, 'HEAD')));
      assert.ok(await database.has(commit), round);
    }
    const { status, stderr } = spawnSync('git', ['--git-dir', gitdir, 'cat-file', '-e', commit]);
    assert.equal(status, 0, String(stderr));
  });
}

test('refuses to make a database of a directory that has something else', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'precious.txt'), 'mine');
  await assert.rejects(openObjectDatabase(directory), {
    code: 'not-a-database',
    message: /has precious.txt and is no git directory/,
  });
});

test('many small packs become one when the database is opened, with every object', async (t) => {
  const repository = createRepository(t);
  const database = await openEmpty(t);
  const blobs: string[] = [];
  for (let i = 0; i < 70; i++) {
    const content = Buffer.from(`blob ${i}\n`);
    const oid = spawnSync('git', ['hash-object', '-w', '--stdin'], {
      cwd: repository.path,
      input: content,
      encoding: 'utf8',
    }).stdout.trim();
    blobs.push(oid);
    await database.importPack(writePack([oid], async () => ({ type: 'blob' as const, content })));
  }
  assert.equal(packFiles(database).length, 140);
  const again = await openObjectDatabase(database.gitdir);
  assert.equal(packFiles(again).length, 2);
  for (const [i, oid] of blobs.entries()) {
    assert.equal(Buffer.from(await again.readBlob(oid)).toString(), `blob ${i}\n`);
  }
  execFileSync('git', ['fsck'], { cwd: again.gitdir, env: gitEnvironment, stdio: 'pipe' });
});

test('an object whose bytes are another’s is broken, and said so', async (t) => {
  const repository = createRepository(t);
  repository.write({ 'one.txt': 'one\n', 'two.txt': 'two\n' });
  const [one = '', two = ''] = ['one.txt', 'two.txt'].map((file) =>
    repository.git('hash-object', '-w', file),
  );
  const database = await openEmpty(t);
  const packOfBlob = async (oid: string, text: string): Promise<string> => {
    const before = packFiles(database);
    const content = Buffer.from(text);
    await database.importPack(writePack([oid], async () => ({ type: 'blob' as const, content })));
    const added = packFiles(database).find((file) => /pack$/.test(file) && !before.includes(file));
    assert.ok(added);
    return added;
  };
  const first = await packOfBlob(one, 'one\n');
  const second = await packOfBlob(two, 'two\n');
  copyFileSync(first, second);
  assert.equal(Buffer.from(await database.readBlob(one)).toString(), 'one\n');
  await assert.rejects(database.readBlob(two), {
    code: 'object-broken',
    message: new RegExp(`object ${two} .* has ${one} in its place`),
  });
});
