import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorOf } from '../../support/error-of.ts';
import { collect, everyCase, never, packageOf } from './kinds.ts';

for (const { kind, missing, start } of everyCase) {
  const options = { skip: missing ?? false };

  test(`${kind}: gives back what was published, byte for byte`, options, async (t) => {
    const registry = (await start(t)).open();
    const module = packageOf('1.0.0');
    const { outcome, artifact } = await registry.publish(module, never);
    assert.equal(outcome, 'published');
    assert.equal(artifact.sha256, module.sha256);
    assert.equal(artifact.size_bytes, module.zip.length);
    assert.match(artifact.released_at ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.ok(registry.owns(artifact.url), artifact.url);
    assert.deepEqual(await registry.find('orders', '1.0.0'), artifact);
    assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
  });

  test(`${kind}: publishing the same again changes nothing`, options, async (t) => {
    const registry = (await start(t)).open();
    const first = await registry.publish(packageOf('1.0.0'), never);
    const again = await registry.publish(packageOf('1.0.0'), never);
    assert.equal(again.outcome, 'same');
    assert.deepEqual(again.artifact, first.artifact);
  });

  test(`${kind}: refuses other bytes under a version that is published`, options, async (t) => {
    const registry = (await start(t)).open();
    const module = packageOf('1.0.0');
    const { artifact } = await registry.publish(module, never);
    const other = packageOf('1.0.0', 'other bytes');
    const error = await errorOf(registry.publish(other, never));
    assert.equal(error.code, 'version-published');
    assert.equal(error.exitCode, 1);
    assert.match(error.message, new RegExp(`found ${module.sha256}, expected ${other.sha256}`));
    assert.match(error.hint ?? '', /ringlock bump orders/);
    assert.deepEqual(await collect(registry.read(artifact, never)), module.zip);
  });

  test(`${kind}: lists versions by their precedence`, options, async (t) => {
    const registry = (await start(t)).open();
    for (const version of ['1.10.0', '1.2.0', '2.0.0-beta.2', '2.0.0', '2.0.0-beta.10']) {
      await registry.publish(packageOf(version, version, 100), never);
    }
    assert.deepEqual(await registry.versions('orders'), [
      ...['1.2.0', '1.10.0', '2.0.0-beta.2', '2.0.0-beta.10', '2.0.0'],
    ]);
  });

  test(`${kind}: knows nothing of other modules and versions`, options, async (t) => {
    const registry = (await start(t)).open();
    assert.deepEqual(await registry.versions('orders'), []);
    assert.equal(await registry.find('orders', '1.0.0'), undefined);
    await registry.publish(packageOf('1.0.0'), never);
    // Servers that search by name find `orders` for these too.
    assert.deepEqual(await registry.versions('order'), []);
    assert.deepEqual(await registry.versions('orders-extra'), []);
    assert.equal(await registry.find('order', '1.0.0'), undefined);
    for (const version of ['1.0.1', '1.0', '1.0.0+build', '../1.0.0', '']) {
      assert.equal(await registry.find('orders', version), undefined, version);
    }
    for (const alias of ['../orders', 'Orders', '', 'a/b']) {
      assert.deepEqual(await registry.versions(alias), [], alias);
    }
  });

  test(`${kind}: says which versions there are of one that is not`, options, async (t) => {
    const registry = (await start(t)).open();
    await registry.publish(packageOf('1.0.0'), never);
    const { artifact } = await registry.publish(packageOf('1.1.0', 'more'), never);
    const gone = {
      ...artifact,
      url: artifact.url
        .replaceAll('1.1.0', '1.2.0')
        .replace(/sha256:.*/, `sha256:${'0'.repeat(64)}`),
    };
    const error = await errorOf(collect(registry.read(gone, never)));
    assert.equal(error.code, 'registry-not-found');
    assert.equal(error.exitCode, 3);
    assert.match(error.hint ?? '', /Versions of orders there: 1\.0\.0, 1\.1\.0\./);
  });

  test(`${kind}: owns its own artifacts only`, options, async (t) => {
    const { open } = await start(t);
    const registry = open();
    const { artifact } = await registry.publish(packageOf('1.0.0'), never);
    const { url } = artifact;
    const foreign = [
      url.replace('127.0.0.1', '127.0.0.2').replace('file:///', 'file://elsewhere/'),
      `${url}/../../../../../../../etc/passwd`,
      `${url}?token=1`,
      url.replace('/orders/', '/orders/%2e%2e/'),
      'not a url',
    ];
    for (const each of foreign) assert.equal(registry.owns(each), false, each);
  });

  // The specification of OCI registries has no conditional write of a tag.
  if (kind === 'oci') continue;
  test(`${kind}: two who publish at once cannot both have the version`, options, async (t) => {
    const { open } = await start(t);
    const one = packageOf('1.0.0', 'one');
    const two = packageOf('1.0.0', 'two');
    const outcomes = await Promise.allSettled([
      ...[open().publish(one, never), open().publish(two, never)],
    ]);
    const winners = outcomes.filter(({ status }) => status === 'fulfilled');
    assert.ok(winners.length <= 1, 'both were told that theirs is published');
  });
}
