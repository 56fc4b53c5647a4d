import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { chooseForRoot, type RootRequest } from '../../src/reconcile/choose-for-root.ts';
import { deploy, release } from '../support/deploy.ts';
import { errorOf } from '../support/error-of.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform } from '../support/platform.ts';
import { createRepository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const noPackages: RootRequest['openPackages'] = () => ({
  versions: async () => [],
  find: async () => undefined,
  read: () => assert.fail('nothing is downloaded'),
  readPresent: () => assert.fail('nothing is downloaded'),
});

/** A root that ran version 1 of all, and then Products 2.0.0 with an Orders 2.0.0 that needs it. */
async function createRoot(t: TestContext) {
  const platform = createPlatform(t);
  const root = temporaryDirectory(t, 'root');
  const pass = async () => {
    const { code, status } = await passInProcess({ repo: platform.path, root });
    assert.equal(code, 0, status.last_error?.message);
  };
  await pass();
  release(platform, 'Products', '2.0.0');
  platform.setVersion('Orders', '2.0.0', { dependencies: { products: '^2.0.0' } });
  platform.setVersion('Communications', '1.0.1', { dependencies: { orders: '>=1' } });
  release(platform, 'MobileApp', '0.3.1');
  deploy(platform, 'Products 2.0.0, MobileApp 0.3.1');
  await pass();
  return { platform, root };
}

it('chooses what a root keeps whatever is wrong with the clone it is called in, and never what would break it', async (t) => {
  const { platform, root } = await createRoot(t);
  const base = { root, openPackages: noPackages, version: undefined } as const;
  // Two branches have other bytes under the version that the root runs and under the one before.
  for (const branch of ['one', 'two']) {
    platform.git('switch', '-q', '-c', branch, 'main');
    release(platform, 'MobileApp', '0.3.0');
    platform.change('MobileApp', branch);
    release(platform, 'Orders', '9.0.0');
    platform.change('Orders', branch);
    platform.git('commit', '-qam', branch);
  }
  // And the one that is checked out has a module that cannot be read.
  const broken = createRepository(t);
  broken.write({ 'modules/Orders/module.json': '{', VERSION: 'none\n' });
  broken.git('add', '-A');
  broken.commit('Broken');
  for (const cwd of [undefined, platform.path, broken.path]) {
    const asked = { ...base, command: 'rollback', module: 'MobileApp', cwd } as const;
    const chosen = await chooseForRoot(asked);
    assert.equal(
      `${chosen.alias} ${chosen.from} ${chosen.entry.version}`,
      'mobile-app 0.3.1 0.3.0',
    );
    for (const [module, version, reason] of [
      ['products', '1.0.0', /orders 2\.0\.0 depends on products \^2\.0\.0/],
      ['orders', '1.0.0', /orders 1\.0\.0 depends on products \^1\.0\.0/],
    ] as const) {
      const error = await errorOf(chooseForRoot({ ...asked, module, version }));
      assert.equal(error.code, 'incompatible-lock', error.message);
      assert.match(error.message, reason);
    }
  }
  const upgrade = { ...base, command: 'upgrade', module: 'orders', version: '9.0.0' } as const;
  for (const [cwd, code] of [
    [undefined, 'version-not-retained'],
    [platform.path, 'ambiguous-version'],
    [broken.path, 'invalid-platform-version'],
  ] as const) {
    const error = await errorOf(chooseForRoot({ ...upgrade, cwd }));
    assert.equal(error.code, code, error.message);
    assert.match(error.hint ?? '', /Versions kept in this root: 1\.0\.0\./);
  }
});
