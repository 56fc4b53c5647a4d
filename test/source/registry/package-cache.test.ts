import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeZip } from '../../../src/release/zip-writer.ts';
import { parseSettings } from '../../../src/repo/settings.ts';
import { directoryRegistry } from '../../../src/source/registry/directory-registry.ts';
import { openPackages } from '../../../src/source/registry/registry-packages.ts';
import { errorOf } from '../../support/error-of.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { never } from './kinds.ts';

const zip = writeZip([
  {
    ...{ path: 'module.json', executable: false },
    content: Buffer.from('{"name": "Orders", "alias": "orders", "version": "1.0.0"}'),
  },
]);
const orders = {
  ...{ alias: 'orders', name: 'Orders', version: '1.0.0', zip, manifest: '{}' },
  sha256: `sha256:${createHash('sha256').update(zip).digest('hex')}`,
};

test('what a package holds is remembered by its digest, and believed only of a registry that still has it', async (t) => {
  const directory = join(temporaryDirectory(t, 'packages'), 'registry');
  const commonDir = temporaryDirectory(t, 'git');
  const { artifact } = await directoryRegistry(directory).publish(orders, never);
  const text = `registries:\n  - {kind: directory, url: '${directory}'}\n`;
  const platform = { settings: parseSettings(text, 'manifests/ringlock.yaml') };
  const packages = openPackages(platform, { commonDir });
  const { url, sha256, size_bytes } = artifact;
  const pinned = ['orders', '1.0.0', { url, sha256, size_bytes }] as const;
  const first = await packages.read(...pinned);
  const kept = join(commonDir, 'ringlock/packages');
  assert.deepEqual(readdirSync(kept), [`${sha256.slice('sha256:'.length)}.json`]);
  // Its bytes are not asked for again, so that these are not seen.
  const file = join(directory, 'orders/1.0.0/Orders-1.0.0.zip');
  writeFileSync(file, Buffer.alloc(size_bytes));
  assert.deepEqual(await packages.readPresent(...pinned), first);
  // Another digest that the registry tells of is.
  rmSync(`${file}.sha256`);
  assert.equal((await errorOf(packages.readPresent(...pinned))).code, 'artifact-mismatch');
  // A memory that is damaged is none, nor one of another archive.
  for (const damage of ['{', JSON.stringify({ format: 1, artifact_bytes: size_bytes })]) {
    writeFileSync(join(kept, readdirSync(kept)[0] ?? ''), damage);
    assert.equal((await errorOf(packages.read(...pinned))).code, 'artifact-mismatch');
  }
  rmSync(directory, { recursive: true });
  await directoryRegistry(directory).publish(orders, never);
  assert.deepEqual(await packages.readPresent(...pinned), first);
  renameSync(directory, `${directory}-away`);
  assert.deepEqual(await packages.read(...pinned), first);
  const away = await errorOf(packages.readPresent(...pinned));
  assert.deepEqual([away.code, away.exitCode], ['registry-not-found', 3]);
  const nobodys = [...pinned.slice(0, 2), { url: 'file:///x.zip', sha256, size_bytes }];
  const error = await errorOf(packages.read(...(nobodys as unknown as typeof pinned)));
  assert.deepEqual([error.code, error.exitCode], ['no-registry-for-artifact', 1]);
  assert.match(error.message, /the package of orders 1\.0\.0 lies at file:\/\/\/x\.zip/);
});
