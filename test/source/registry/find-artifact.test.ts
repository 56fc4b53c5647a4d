import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findArtifact } from '../../../src/source/registry/find-artifact.ts';
import { errorOf } from '../../support/error-of.ts';
import { everyCase, gitlabCase, never, packageOf } from './kinds.ts';

const [directoryCase] = everyCase;

test('takes a version from the first registry that has it, past one that is away', async (t) => {
  const away = await gitlabCase.start(t);
  const there = await directoryCase?.start(t);
  assert.ok(away.proxy !== undefined && there !== undefined);
  const registries = [away.open(undefined, { retries: 0 }), there.open()];
  await registries[0]?.publish(packageOf('1.0.0'), never);
  await registries[1]?.publish(packageOf('1.0.0'), never);
  assert.equal((await findArtifact(registries, 'orders', '1.0.0')).registry, registries[0]);
  away.proxy.fault = () => ({ status: 502 });
  assert.equal((await findArtifact(registries, 'orders', '1.0.0')).registry, registries[1]);
  const error = await errorOf(findArtifact(registries, 'orders', '2.0.0'));
  assert.equal(error.code, 'registries-away');
  assert.equal(error.exitCode, 3);
  assert.match(error.message, /answers with 502/);
});

test('names the versions of all registries when none has the one that is wanted', async (t) => {
  const one = (await gitlabCase.start(t)).open();
  const two = (await directoryCase?.start(t))?.open();
  assert.ok(two !== undefined);
  await one.publish(packageOf('1.10.0'), never);
  await two.publish(packageOf('1.9.0'), never);
  const error = await errorOf(findArtifact([one, two], 'orders', '2.0.0'));
  assert.equal(error.code, 'version-not-found');
  assert.equal(error.exitCode, 1);
  assert.match(error.hint ?? '', /Versions there: 1\.9\.0, 1\.10\.0\./);
  assert.equal(
    (await errorOf(findArtifact([one, two], 'ordres', '1.0.0'))).code,
    'module-not-found',
  );
});
