import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type RootStatus, readStatus } from '../../src/store/status-file.ts';
import { openTestRoot } from './support.ts';

test('anybody reads the status that was written last, and a broken one is named', async (t) => {
  const root = await openTestRoot(t);
  assert.equal(await readStatus(root.path), undefined);
  const status: RootStatus = {
    ring: 'canary',
    replica: 'pod-1',
    state: 'converged',
    repository: 'https://git.example.com/platform.git',
    branch: 'main',
    commit: 'a'.repeat(40),
    converged_commit: 'a'.repeat(40),
    generation: 1,
    lock_digest: null,
    modules: { orders: '1.0.0' },
    last_error: null,
    observed_at: null,
    converged_at: null,
    outbox_pending: null,
    ringlock_version: '0.1.0',
  };
  await root.writeStatus({ ...status, state: 'starting' });
  await root.writeStatus(status);
  assert.deepEqual(await readStatus(root.path), status);
  const path = join(root.path, 'status.json');
  assert.equal(statSync(path).mode & 0o777, 0o644);
  writeFileSync(path, '[]');
  await assert.rejects(readStatus(root.path), { code: 'status-unreadable', exitCode: 3 });
});
