import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { hooksStatus, installHooks, uninstallHooks } from '../../src/git/hooks/install.ts';
import { cliPath } from '../support/cli.ts';
import { createRepository, type Repository } from '../support/repository.ts';

const lines =
  'manifests/*.lock.json merge=ringlock\nmanifests/*.ring.yaml merge=ringlock\nmanifests/tenants.yaml merge=ringlock\n';
const install = async ({ path }: Repository) => installHooks(await findRepository(path), cliPath);

test('hooks install tells git of the driver once; uninstall leaves only .gitattributes', async (t) => {
  const repository = createRepository(t);
  const before = repository.git('config', '--local', '--list');
  const missing = (await hooksStatus(await findRepository(repository.path))).mergeDriver;
  assert.equal(missing.configuration, 'missing');
  const { installed, mergeDriver } = await install(repository);
  assert.equal(installed, true);
  assert.equal(mergeDriver.configuration, 'installed');
  assert.deepEqual(
    mergeDriver.attributes.map(({ state }) => state),
    ['set', 'set', 'set'],
  );
  await install(repository);
  assert.equal(repository.read('.gitattributes'), lines);
  repository.git('config', 'merge.ringlock.driver', 'ringlock-0.0.1 %A');
  const outdated = await hooksStatus(await findRepository(repository.path));
  assert.deepEqual([outdated.installed, outdated.mergeDriver.configuration], [false, 'outdated']);
  await install(repository);
  await uninstallHooks(await findRepository(repository.path));
  assert.equal(repository.git('config', '--local', '--list'), before);
  assert.equal(repository.read('.gitattributes'), lines);
});

test('attributes that are there stay, and another merge of the same files is theirs to choose', async (t) => {
  const repository = createRepository(t);
  const own = '* text=auto eol=lf\r\nmanifests/tenants.yaml merge=union';
  repository.write({ '.gitattributes': own });
  const { installed, mergeDriver } = await install(repository);
  assert.deepEqual(
    mergeDriver.attributes.map(({ state }) => state),
    ['set', 'set', 'other'],
  );
  assert.equal(installed, true);
  const added = lines
    .split('\n')
    .slice(0, 2)
    .map((line) => `${line}\r\n`);
  assert.equal(repository.read('.gitattributes'), `${own}\r\n${added.join('')}`);
  repository.write({ '.gitattributes': 'manifests/** -merge\n' });
  const kept = await install(repository);
  assert.deepEqual(
    kept.mergeDriver.attributes.map(({ state }) => state),
    ['other', 'other', 'other'],
  );
  assert.equal(repository.read('.gitattributes'), 'manifests/** -merge\n');
});
