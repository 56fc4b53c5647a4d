import assert from 'node:assert/strict';
import { readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRoot } from '../../src/store/root.ts';
import { deploy, facts, lockOf, makeModule, openTestRoot, rootDirectory } from './support.ts';

const first = makeModule('orders', '1.0.0');
const second = makeModule('orders', '2.0.0');

test('shows again what was shown last when current is deleted under the process', async (t) => {
  const root = await openTestRoot(t);
  await deploy(root, first);
  const latest = await deploy(root, second);
  assert.equal(await root.restoreCurrent(), undefined);
  rmSync(join(root.path, 'current'));
  assert.equal(await root.restoreCurrent(), latest.number);
  assert.equal((await root.current())?.number, latest.number);
});

test('never shows a generation that was built and not switched to', async (t) => {
  const path = rootDirectory(t);
  const root = await openRoot({ path });
  await root.stage(first.pin, asFiles(first.files), 'test');
  await root.buildGeneration(lockOf(first), facts);
  await root.close();
  const opened = await openRoot({ path });
  assert.equal(await opened.current(), undefined);
  assert.deepEqual(readdirSync(join(path, 'generations')), []);
  await opened.close();
});

test('drifts when the current generation cannot be read', async (t) => {
  const root = await openTestRoot(t);
  const { path } = await deploy(root, first);
  const file = join(path, '.ringlock/generation.json');
  rmSync(file);
  writeFileSync(file, 'null');
  assert.deepEqual(
    [...(await root.findDrift('links'))],
    [['.', 'current shows no generation that can be read']],
  );
});

test('writes the journal anew when it was cut or deleted under the process', async (t) => {
  const path = rootDirectory(t);
  const root = await openRoot({ path });
  const operationId = 'op';
  const steps = ['switched', 'committed', 'reverted'] as const;
  for (const [index, spoil] of [
    () => {},
    () => truncateSync(join(path, 'journal.jsonl'), 10),
    () => rmSync(join(path, 'journal.jsonl')),
  ].entries()) {
    spoil();
    await root.journal.append({ type: steps[index] ?? 'switched', operationId });
  }
  await root.close();
  const opened = await openRoot({ path });
  assert.deepEqual(
    opened.journal.records().map(({ type }) => type),
    steps,
  );
  await opened.close();
});

async function* asFiles(files: Readonly<Record<string, string>>) {
  for (const [path, content] of Object.entries(files)) {
    yield { path, executable: false, content: Buffer.from(content) };
  }
}
