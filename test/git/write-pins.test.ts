import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { writePins } from '../../src/git/write-pins.ts';
import { errorOf } from '../support/error-of.ts';
import { createRepository } from '../support/repository.ts';

const lock = 'manifests/stable.lock.json';

it('pins nothing before its tags are there, and leaves a tag where it is', async (t) => {
  const made = createRepository(t);
  const first = made.commit('First', { 'README.md': 'one\n' });
  const second = made.commit('Second', { 'README.md': 'two\n' });
  // Somebody who signs every tag is asked for no passphrase.
  made.git('config', 'tag.gpgSign', 'true');
  const repository = await findRepository(made.path);
  const plan = (files: readonly string[], tags: Readonly<Record<string, string>>) => ({
    ...{ ring: 'stable', changes: [], held: false },
    files: new Map(files.map((file) => [file, '{}\n'])),
    tags: new Map(Object.entries(tags)),
  });
  const write = (...given: Parameters<typeof plan>) =>
    writePins(repository, plan(...given), 'Pin', { commit: false });
  // Its write fails as if the disk did.
  mkdirSync(join(made.path, lock), { recursive: true });
  await errorOf(write([lock], { 'orders@1.4.1': first }));
  assert.equal(made.git('rev-parse', 'orders@1.4.1'), first);
  assert.equal(made.git('cat-file', '-t', 'orders@1.4.1'), 'commit');
  const other = 'manifests/edge.lock.json';
  const moved = await errorOf(write([other], { 'new@1.0.0': second, 'orders@1.4.1': second }));
  assert.equal(moved.code, 'tag-exists');
  assert.equal(existsSync(join(made.path, other)), false);
  assert.equal(made.git('tag'), 'orders@1.4.1');
  made.git('-c', 'user.email=a@b.c', 'tag', '-a', '--no-sign', '-m', 'kept', 'kept@1.0.0', first);
  await write([other], { 'orders@1.4.1': first, 'kept@1.0.0': first });
  assert.ok(existsSync(join(made.path, other)));
  // A hold is there before the lock that it keeps.
  await errorOf(write([lock, 'manifests/stable.ring.yaml'], {}));
  assert.ok(existsSync(join(made.path, 'manifests/stable.ring.yaml')));
});
