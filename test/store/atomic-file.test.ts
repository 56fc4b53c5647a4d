import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFileAtomically } from '../../src/store/atomic-file.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('replaces a file whole and keeps its permissions', async (t) => {
  const path = join(temporaryDirectory(t), 'status.json');
  writeFileSync(path, 'old');
  chmodSync(path, 0o640);
  await writeFileAtomically(path, 'new');
  assert.equal(readFileSync(path, 'utf8'), 'new');
  assert.equal(statSync(path).mode & 0o777, 0o640);
});

test('gives the permissions asked for whatever the umask', async (t) => {
  const path = join(temporaryDirectory(t), 'status.json');
  const before = process.umask(0o077);
  try {
    await writeFileAtomically(path, 'new', { mode: 0o644 });
  } finally {
    process.umask(before);
  }
  assert.equal(statSync(path).mode & 0o777, 0o644);
});

test('leaves the old file and nothing beside it when writing fails', async (t) => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'status.json');
  writeFileSync(path, 'old');
  const fault = (point: string) => {
    if (!point.startsWith('rename')) return;
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
  };
  await assert.rejects(writeFileAtomically(path, 'new', { fault }), {
    code: 'disk-full',
    exitCode: 3,
    message: new RegExp(`^${path} cannot be written: ENOSPC`),
  });
  assert.deepEqual(readdirSync(directory), ['status.json']);
  assert.equal(readFileSync(path, 'utf8'), 'old');
});
