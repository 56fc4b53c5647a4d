import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import pg from 'pg';
import { onEnd } from '../support/cleanup.ts';
import { stopOwnPostgres } from '../support/postgres.ts';
import { waitUntil } from '../support/wait-until.ts';
import { makePlatform } from './schema-support.ts';

after(stopOwnPostgres);

/** A promise and what fulfils it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe('the lock of the migrations', () => {
  it('makes rings of one database take turns, and tells who is waited for', async (t) => {
    const { schema } = await makePlatform(t);
    const order: string[] = [];
    const [held, waiting] = [gate(), gate()];
    const first = schema(
      async () => {
        held.open();
        await waiting.opened;
        order.push('first');
      },
      { ring: 'edge', replica: 'pod-7' },
    );
    await held.opened;
    const holders: string[] = [];
    const second = schema(async () => void order.push('second'), {
      onWait: (holder) => {
        holders.push(holder);
        waiting.open();
      },
    });
    await Promise.all([first, second.finally(waiting.open)]);
    assert.deepEqual(order, ['first', 'second']);
    assert.equal(holders.length, 1);
    assert.match(holders[0] ?? '', /^ringlock edge\/pod-7 \(pid \d+\)$/);
  });

  it('is not waited for any longer when that is aborted', async (t) => {
    const { schema } = await makePlatform(t);
    const [held, done] = [gate(), gate()];
    const first = schema(async () => {
      held.open();
      await done.opened;
    });
    await held.opened;
    const controller = new AbortController();
    const reason = new Error('stopping');
    const second = schema(async () => assert.fail('has the lock'), {
      signal: controller.signal,
      onWait: () => controller.abort(reason),
    });
    const ended = second.finally(done.open);
    await assert.rejects(ended, (error) => error === reason);
    await first;
  });

  it('belongs to one database: another is not waited for', async (t) => {
    const [one, other] = [await makePlatform(t), await makePlatform(t)];
    const onWait = () => assert.fail('waits');
    await one.schema(() => other.schema(async () => {}, { onWait }));
  });

  it('is free again after a failure', async (t) => {
    const { schema } = await makePlatform(t);
    await assert.rejects(
      schema(() => Promise.reject(new Error('no'))),
      /no/,
    );
    await schema(async () => {}, { onWait: () => assert.fail('waits') });
  });
});

describe('a connection that is cut off in the middle of a migration', () => {
  for (const [what, head, state] of [
    ['rolls it back', '', []],
    [
      'leaves one without a transaction interrupted',
      '-- ringlock: no-transaction\n',
      ['orders/0001_a interrupted {stable}'],
    ],
  ] as const) {
    it(what, async (t) => {
      const { url, module, up, query, rows, schema, tables } = await makePlatform(t);
      await query('create table busy ()');
      const blocker = new pg.Client({ connectionString: url });
      await blocker.connect();
      onEnd(t, () => blocker.end());
      await blocker.query('begin; lock table busy');
      const target = [
        module('orders', '1.0.0', {
          '0001_a.up.sql': `${head}create table a ();\nalter table busy add n int;`,
        }),
      ];
      const running = up(target).then(
        () => undefined,
        (error: unknown) => error,
      );
      await waitUntil('the migration waits for the table', async () => {
        const [stuck] = await query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock'
             and application_name = 'ringlock stable/pod-0'`,
        );
        return stuck;
      });
      const error = await running;
      assert.ok(error instanceof Error && 'code' in error && 'exitCode' in error);
      assert.deepEqual([error.code, error.exitCode], ['database-unreachable', 3]);
      await blocker.query('rollback');
      await schema(async () => {});
      assert.deepEqual(await rows(), state);
      if (head === '') {
        assert.deepEqual(await tables(), ['busy']);
        assert.deepEqual(await up(target), ['orders/0001_a']);
      } else {
        await assert.rejects(up(target), { code: 'migration-interrupted' });
      }
    });
  }

  it('is how an abort ends it', async (t) => {
    const { module, up, tables, query } = await makePlatform(t);
    const controller = new AbortController();
    const target = [
      module('orders', '1.0.0', { '0001_a.up.sql': 'create table a (); select pg_sleep(600)' }),
    ];
    const running = up(target, undefined, { signal: controller.signal });
    await waitUntil('the migration sleeps', async () => {
      const [found] = await query(
        `select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
      );
      return found;
    });
    const reason = new Error('stopping');
    controller.abort(reason);
    await assert.rejects(running, (error) => error === reason);
    // The server notices by itself that nobody listens any more, and frees the lock.
    assert.deepEqual(
      await up([module('shop', '1.0.0', { '0001_s.up.sql': 'create table s ()' })]),
      ['shop/0001_s'],
    );
    assert.deepEqual(await tables(), ['s']);
  });
});
