import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { readJournal } from '../../src/audit/journal.ts';
import { sampleEvent } from '../support/audit-event.ts';
import { temporaryDirectory } from '../support/temporary.ts';

async function readAll(directory: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { event } of readJournal(directory)) ids.push(event.id);
  return ids;
}

describe('the audit journal', () => {
  it('holds an event once, however often and after however many restarts it is appended', async (t) => {
    const directory = temporaryDirectory(t, 'audit');
    const events = Array.from({ length: 9 }, () => sampleEvent());
    for (let round = 0; round < 3; round++) {
      const log = await openAuditLog({ directory, segmentBytes: 1500 });
      for (const event of events) {
        const [kept] = await log.append([event, event]);
        assert.equal(kept?.id, event.id);
      }
      await log.close();
    }
    assert.deepEqual(
      await readAll(directory),
      events.map(({ id }) => id),
    );
    assert.ok(readdirSync(directory).length > 2, 'in several segments');
  });

  it('loses the temporary files that a kill left beside it', async (t) => {
    const directory = temporaryDirectory(t, 'audit');
    for (const name of ['outbox.json', 'audit.sqlite']) {
      writeFileSync(join(directory, `.${name}.0123456789ab.tmp`), '');
    }
    await (await openAuditLog({ directory })).close();
    assert.deepEqual(readdirSync(directory), ['journal-000001.jsonl']);
  });

  it('detects any changed byte anywhere', async (t) => {
    const directory = temporaryDirectory(t, 'audit');
    const log = await openAuditLog({ directory, segmentBytes: 1500 });
    for (let i = 0; i < 5; i++)
      await log.append([sampleEvent({ detail: { message: 'naïve \uFFFD' } })]);
    await log.close();
    const names = readdirSync(directory);
    const contents = names.map((name) => readFileSync(join(directory, name)));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (file, at, by) => {
          const index = file % names.length;
          const path = join(directory, names[index] ?? '');
          const original = contents[index] ?? Buffer.alloc(0);
          const changed = Buffer.from(original);
          const position = at % changed.length;
          // The very last line break may be lost in a crash: that is the next test's.
          if (index === names.length - 1 && position === changed.length - 1) return;
          changed[position] = (changed[position] ?? 0) ^ by;
          writeFileSync(path, changed);
          try {
            await assert.rejects(readAll(directory), {
              code: 'audit-journal-broken',
              message: /journal-00000\d\.jsonl at byte \d+: event \d+/,
            });
          } finally {
            writeFileSync(path, original);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('goes on after an append cut off at any byte', async (t) => {
    const directory = temporaryDirectory(t, 'audit');
    const kept = sampleEvent();
    const torn = sampleEvent();
    const log = await openAuditLog({ directory });
    await log.append([kept]);
    const path = join(directory, 'journal-000001.jsonl');
    const start = readFileSync(path).length;
    await log.append([torn]);
    await log.close();
    const { length } = readFileSync(path);
    for (let cut = start; cut < length; cut += 7) {
      const copy = mkdtempSync(join(directory, 'cut-'));
      copyFileSync(path, join(copy, 'journal-000001.jsonl'));
      truncateSync(join(copy, 'journal-000001.jsonl'), cut);
      assert.deepEqual(await readAll(copy), [kept.id]);
      const reopened = await openAuditLog({ directory: copy });
      await reopened.append([torn]);
      await reopened.close();
      assert.deepEqual(await readAll(copy), [kept.id, torn.id]);
    }
  });

  it('loses nothing acknowledged when killed while it appends', async (t) => {
    const program = `
      import { openAuditLog } from ${JSON.stringify(join(import.meta.dirname, '../../src/audit/audit-log.ts'))};
      import { sampleEvent } from ${JSON.stringify(join(import.meta.dirname, '../support/audit-event.ts'))};
      const [directory, point, count] = process.argv.slice(1);
      let left = Number(count);
      const log = await openAuditLog({ directory, segmentBytes: 1500, fault: (name) => {
        if (name === point && --left === 0) process.kill(process.pid, 'SIGKILL');
      } });
      for (;;) { const [event] = await log.append([sampleEvent()]); process.stdout.write(event.id + '\\n'); }`;
    const points = ['audit:write', 'audit:written', 'audit:synced', 'audit:rotated'];
    await Promise.all(
      points.map(async (point) => {
        const directory = temporaryDirectory(t, 'audit');
        const child = spawn(
          process.execPath,
          ['--import', 'tsx', '--input-type=module', '-e', program, directory, point, '2'],
          { stdio: ['ignore', 'pipe', 'inherit'] },
        );
        let output = '';
        child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
        const [, signal] = await once(child, 'close');
        assert.equal(signal, 'SIGKILL');
        const acknowledged = output.split('\n').filter(Boolean);
        const log = await openAuditLog({ directory, segmentBytes: 1500 });
        await log.append([sampleEvent()]);
        await log.close();
        const found = await readAll(directory);
        assert.deepEqual(found.slice(0, acknowledged.length), acknowledged, point);
        assert.ok(found.length - acknowledged.length <= 2, point);
      }),
    );
  });

  it('takes back a failed write, and the same append then succeeds once', async (t) => {
    const directory = temporaryDirectory(t, 'audit');
    let full = true;
    const log = await openAuditLog({
      directory,
      fault: (point) => {
        if (full && point === 'audit:written') throw new Error('ENOSPC: no space left on device');
      },
    });
    const event = sampleEvent();
    await assert.rejects(log.append([event]), { code: 'audit-write-failed', exitCode: 3 });
    full = false;
    await log.append([event]);
    await log.close();
    assert.deepEqual(await readAll(directory), [event.id]);
  });

  it('keeps no credentials of a URL', async (t) => {
    const directory = temporaryDirectory(t, 'audit');
    const log = await openAuditLog({ directory });
    const message = 'fetch https://bot:s3cret@git.example/p?private_token=s3cret failed';
    await log.append([sampleEvent({ detail: { message } })]);
    await log.close();
    assert.doesNotMatch(readFileSync(join(directory, 'journal-000001.jsonl'), 'utf8'), /s3cret/);
  });
});
