import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { everyCase, type RegistryCase } from '../source/registry/kinds.ts';
import { runCli } from '../support/cli.ts';
import { reconcileOnce } from '../support/deploy.ts';
import { registryPassword, registryUser } from '../support/docker-registry.ts';
import { gitlabProject } from '../support/gitlab-packages.ts';
import { createPlatform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const credentials = ({ kind }: RegistryCase) =>
  kind === 'oci'
    ? { MODULE_REGISTRY_TOKEN: registryPassword, MODULE_REGISTRY_USER: registryUser }
    : { MODULE_REGISTRY_TOKEN: 'glpat-write-0123456789abcdef' };

for (const each of everyCase) {
  test(`${each.kind}: a pod installs what was released from the registry alone`, {
    skip: each.missing ?? false,
  }, async (t) => {
    const { url } = await each.start(t);
    const platform = createPlatform(t);
    const project = each.kind === 'gitlab' ? `, project: ${gitlabProject}` : '';
    platform.commit('Name the registry', {
      'manifests/ringlock.yaml': `registries:\n  - {kind: ${each.kind}, url: '${url}'${project}}\n`,
    });
    const tokens = credentials(each);
    const released = await runCli(platform.path, ['release', 'orders', '--json'], tokens);
    assert.equal(released.code, 0, released.stderr);
    // No tree: neither the object store nor the git server can give it.
    const file = 'manifests/edge.lock.json';
    const lock = JSON.parse(platform.read(file));
    lock.modules = {
      orders: { ...lock.modules.orders, tree: null },
      products: lock.modules.products,
    };
    platform.commit('Pin the package', { [file]: `${JSON.stringify(lock, null, 2)}\n` });
    const bound =
      each.kind === 'directory'
        ? { RINGLOCK_MODULE_PLACES: `file://${url}` }
        : { MODULE_REGISTRY_URL: url };
    const root = temporaryDirectory(t, 'root');
    const arguments_ = { repo: platform.path, root, ring: 'edge' };
    if (each.kind !== 'directory') {
      const unbound = await reconcileOnce(arguments_, [], {
        ...tokens,
        RINGLOCK_MODULE_PLACES: url,
      });
      assert.notEqual(unbound.code, 0, 'a token went to a server that only the repository names');
      assert.match(
        `${unbound.stdout}${unbound.stderr}`,
        /MODULE_REGISTRY_TOKEN goes only to the server of MODULE_REGISTRY_URL, which is not set/,
      );
    }
    const done = await reconcileOnce(arguments_, [], { ...tokens, ...bound });
    assert.equal(done.code, 0, `${done.stdout}${done.stderr}`);
    const installed = join(root, 'current/Orders/src/index.mjs');
    assert.equal(readFileSync(installed, 'utf8'), platform.read('modules/Orders/src/index.mjs'));
  });
}
