import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { judgePins } from '../../src/promotion/judge-pins.ts';
import { parseLock } from '../../src/repo/lock.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { reconcileOnce } from '../support/deploy.ts';
import { createDatabase, stopOwnPostgres } from '../support/postgres.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { gatedPlatform, sourcesOf } from './gated-platform.ts';

after(stopOwnPostgres);

test('what a reconciler really reports is a soak, and health', async (t) => {
  const platform = await gatedPlatform(t, 'soak: 1h');
  const repo = platform.addRemote(t);
  const DATABASE_URL = await createDatabase();
  const ring = { repo, root: temporaryDirectory(t, 'root'), ring: 'canary' };
  const began = Date.now();
  assert.equal((await reconcileOnce(ring, [], { DATABASE_URL })).code, 0);
  const ended = Date.now();
  const { modules } = parseLock(platform.read('manifests/canary.lock.json'), 'canary');
  const orders = modules.get('orders');
  assert.ok(orders);
  const judge = async (now: number) => {
    const [judgement] = await judgePins(
      await findRepository(platform.path),
      {
        ring: parseRingFile(platform.read('manifests/edge.ring.yaml'), 'edge').ring,
        source: modules,
        pins: [{ kind: 'pin', alias: 'orders', after: orders }],
        ...{ historyOf: 'HEAD', approvedIn: [], authors: [] },
      },
      sourcesOf({ databaseUrl: async () => DATABASE_URL, now: new Date(now) }),
    );
    return judgement?.gates.map(({ gate, state }) => `${gate} ${state}`);
  };
  const hour = 3_600_000;
  assert.deepEqual(await judge(began + hour - 1000), ['soak closed', 'health open']);
  assert.deepEqual(await judge(ended + hour), ['soak open', 'health open']);
});
