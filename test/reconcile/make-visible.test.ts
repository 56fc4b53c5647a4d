import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { uuidv7 } from 'uuidv7';
import { type AuditLog, openAuditLog } from '../../src/audit/audit-log.ts';
import { makeVisible } from '../../src/reconcile/make-visible.ts';
import { finishOperation } from '../../src/reconcile/recover-operation.ts';
import type { Root } from '../../src/store/root.ts';
import { facts, filesOf, lockOf, makeModule, openTestRoot } from '../store/support.ts';
import { sampleEvent } from '../support/audit-event.ts';

async function upgrade(root: Root, audit: AuditLog, version: string): Promise<string> {
  const module = makeModule('orders', version);
  await root.stage(module.pin, filesOf(module), 'test');
  const before = await root.current();
  const after = await root.buildGeneration(lockOf(module), facts);
  const event = sampleEvent({ to: version });
  const operationId = uuidv7();
  await makeVisible(root, audit, { operationId, commit: null, before, after, events: [event] });
  return event.id;
}

async function idsIn(audit: AuditLog): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of audit.read()) ids.push(id);
  return ids;
}

for (const point of ['audit:write', 'audit:written']) {
  test(`a change whose events could not be written (${point}) has them before the next one`, async (t) => {
    const root = await openTestRoot(t);
    let fails = true;
    const audit = await openAuditLog({
      directory: join(root.path, 'audit'),
      fault: (at) => {
        if (at === point && fails) throw new Error('planted');
      },
    });
    t.after(() => audit.close());
    await assert.rejects(upgrade(root, audit, '1.0.0'), { code: 'audit-write-failed' });
    assert.equal((await root.current())?.number, 1);
    // Not a byte for the outbox to send: the events are appended anew, with another time and hash.
    assert.deepEqual(await idsIn(audit), []);
    // As long as they cannot be written, nothing else becomes visible.
    await assert.rejects(upgrade(root, audit, '1.0.1'), { code: 'audit-write-failed' });
    assert.equal((await root.current())?.number, 1);
    fails = false;
    const id = await upgrade(root, audit, '1.0.2');
    const ids = await idsIn(audit);
    assert.equal(ids.length, 2);
    assert.equal(ids[1], id);
    assert.equal(await finishOperation(root, audit), undefined);
  });
}
