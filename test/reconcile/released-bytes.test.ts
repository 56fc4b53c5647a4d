import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { deploy, readEvents, reconcileOnce, release } from '../support/deploy.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform, lockedAt, type Platform, writeLocks } from '../support/platform.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { servedVersion } from '../support/ring.ts';
import { temporaryDirectory } from '../support/temporary.ts';

after(stopOwnPostgres);

/** A platform whose canary released Orders 1.0.1 and went back, before 1.0.1 comes with other bytes. */
async function createSecondRelease(t: TestContext, pass: (platform: Platform) => Promise<unknown>) {
  const modules = [{ directory: 'Orders', alias: 'orders', version: '1.0.0' }];
  const platform = createPlatform(t, { rings: ['stable', 'canary'], modules });
  await pass(platform);
  release(platform, 'Orders', '1.0.1');
  deploy(platform, 'Orders 1.0.1');
  await pass(platform);
  const first = digestOfOrders(platform);
  platform.git('revert', '--no-edit', 'HEAD');
  await pass(platform);
  platform.change('Orders', 'something else');
  platform.setVersion('Orders', '1.0.1');
  platform.git('add', '-A');
  writeLocks(platform, platform.rings);
  platform.commit('Orders 1.0.1 again');
  return { platform, first, second: digestOfOrders(platform) };
}

function digestOfOrders(platform: Platform): string {
  const orders = lockedAt(platform, 'HEAD', 'canary').find(({ alias }) => alias === 'orders');
  return orders?.sha256 ?? '';
}

describe('other bytes under a released version', { concurrency: 2 }, () => {
  it('are refused on a fresh disk and in every ring, as Postgres knows', async (t) => {
    const databaseUrl = await createDatabase();
    const root = temporaryDirectory(t, 'root');
    const { platform, first, second } = await createSecondRelease(t, async ({ path: repo }) => {
      const { code, stderr } = await reconcileOnce({ repo, root }, [], {
        DATABASE_URL: databaseUrl,
      });
      assert.equal(code, 0, stderr);
    });
    for (const ring of ['canary', 'stable']) {
      const fresh = temporaryDirectory(t, 'fresh');
      const where = { repo: platform.path, root: fresh, ring };
      const { code, status } = await passInProcess(where, { databaseUrl });
      assert.equal(code, 1);
      assert.equal(status.last_error?.code, 'released-bytes-changed');
      const { message = '', hint = '' } = status.last_error ?? {};
      for (const part of ['orders 1.0.1', first, second, 'canary ran', 'Ada Developer']) {
        assert.ok(message.includes(part), `${part} is not in: ${message}`);
      }
      assert.match(hint, /ringlock bump orders/);
      assert.equal(readEvents(fresh).filter(({ outcome }) => outcome === 'refused').length, 1);
    }
  });

  it('are refused with Postgres away, also when the version is gone from the disk', async (t) => {
    const root = temporaryDirectory(t, 'root');
    const databaseUrl = `postgres://nobody@127.0.0.1:${await freePort()}/nothing`;
    const away = { databaseUrl, databaseGraceMs: 0, keepGenerations: 1, retainForMs: 0 };
    const pass = ({ path: repo }: Platform) => passInProcess({ repo, root }, away);
    const { platform, first } = await createSecondRelease(t, async (at) => {
      const { code, status } = await pass(at);
      assert.equal(code, 0, status.last_error?.message);
    });
    const { code, status } = await pass(platform);
    assert.equal(code, 1);
    assert.equal(status.last_error?.code, 'released-bytes-changed');
    assert.ok(status.last_error?.message.includes(first), status.last_error?.message);
    assert.equal(servedVersion(root, 'Orders'), '1.0.0');
    // The next version is taken.
    platform.setVersion('Orders', '1.0.2');
    deploy(platform, 'Orders 1.0.2');
    assert.equal((await pass(platform)).code, 0);
  });
});
