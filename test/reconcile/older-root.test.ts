import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { runCli } from '../support/cli.ts';
import {
  filesServed,
  readEvents,
  readStatusFile,
  reconcileOnce,
  release,
} from '../support/deploy.ts';
import { asPlatform, writeLocks } from '../support/platform.ts';
import { createRepository, type Repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface Fixture {
  readonly commits: readonly {
    readonly id: string;
    /** The commit object's text. */
    readonly commit: string;
    readonly files: Readonly<Record<string, string>>;
  }[];
  /** By path; modes are octal. */
  readonly root: Readonly<
    Record<
      string,
      {
        readonly link?: string;
        readonly directory?: string;
        readonly text?: string;
        readonly mode?: string;
      }
    >
  >;
}

const fixture: Fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/first-root.json'), 'utf8'),
);

/** The repository that the fixture's root followed, with the same commit ids. */
function createFixtureRepository(t: TestContext): Repository {
  const repository = createRepository(t);
  for (const { id, commit, files } of fixture.commits) {
    repository.write(files);
    repository.git('add', '-A');
    repository.git('write-tree');
    const object = join(temporaryDirectory(t, 'commit'), 'object');
    writeFileSync(object, commit);
    assert.equal(repository.git('hash-object', '-w', '-t', 'commit', object), id);
    repository.git('update-ref', 'refs/heads/main', id);
  }
  return repository;
}

function createFixtureRoot(t: TestContext): string {
  const root = temporaryDirectory(t, 'root');
  const entries = Object.entries(fixture.root);
  for (const [path, { link, directory, text, mode = '' }] of entries) {
    const full = join(root, path);
    if (link !== undefined) symlinkSync(link, full);
    else if (directory !== undefined) mkdirSync(full);
    else {
      writeFileSync(full, text ?? '');
      chmodSync(full, Number.parseInt(mode, 8));
    }
  }
  for (const [path, { directory }] of entries.reverse()) {
    if (directory !== undefined) chmodSync(join(root, path), Number.parseInt(directory, 8));
  }
  return root;
}

describe('a root of an older version', () => {
  it('is taken over as it is, goes on from there, and knows whose it is', async (t) => {
    const repository = createFixtureRepository(t);
    const root = createFixtureRoot(t);
    const events = readEvents(root);
    const other = await reconcileOnce({ repo: repository.path, root, ring: 'edge' });
    assert.match(other.stderr, /a root of the ring canary/);
    const first = await reconcileOnce({ repo: repository.path, root });
    assert.equal(first.code, 0, first.stderr);
    assert.equal(readlinkSync(join(root, 'current')), 'generations/000002');
    const added = readEvents(root).slice(events.length);
    assert.deepEqual(readEvents(root).slice(0, events.length), events);
    // The repository has moved since, and only that is new.
    assert.deepEqual(
      added.map(({ action }) => action),
      ['operator'],
    );
    assert.equal(JSON.parse(readFileSync(join(root, 'root.json'), 'utf8')).layout, 1);

    const platform = asPlatform(repository, ['canary']);
    repository.write({ 'modules/Products/src/index.mjs': '' });
    release(platform, 'Products', '1.0.1');
    repository.git('add', '-A');
    writeLocks(repository, ['canary']);
    repository.commit('Products 1.0.1');
    const second = await reconcileOnce({ repo: repository.path, root });
    assert.equal(second.code, 0, second.stderr);
    assert.equal(readStatusFile(root).generation, 3);
    assert.match(filesServed(root)['Products/module.json'] ?? '', /1\.0\.1/);
    assert.equal(
      filesServed(root)['Orders/src/orders.js'],
      repository.read('modules/Orders/src/orders.js'),
    );
  });
});

describe('a root of a newer version', () => {
  it('is refused before anything in it is touched, and serves an init container as it is', async (t) => {
    const repository = createFixtureRepository(t);
    const root = createFixtureRoot(t);
    writeFileSync(join(root, 'root.json'), JSON.stringify({ layout: 2, whatever: 'it says' }));
    const status = readFileSync(join(root, 'status.json'), 'utf8');
    const { code, stderr } = await reconcileOnce({ repo: repository.path, root });
    assert.equal(code, 3);
    assert.match(stderr, /has the layout 2, which a newer ringlock made; this one reads up to 1/);
    const args = ['--repo', repository.path, '--root', root, '--ring', 'canary'];
    assert.equal((await runCli(root, ['reconcile', '--init', ...args])).code, 0);
    assert.equal(readFileSync(join(root, 'status.json'), 'utf8'), status);
  });
});
