import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { uuidv7 } from 'uuidv7';
import type { AuditEvent } from '../../src/audit/event.ts';
import { findNews, type HoldRecord } from '../../src/outward/find-news.ts';
import type { News, Told } from '../../src/outward/news.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import { sampleEvent } from '../support/audit-event.ts';
import { convergedAt } from './support.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const at = (second: number) => new Date(start + second * 1000);

const settled = convergedAt('aaa', { lock_digest: 'sha256:1' });

const failing = (state: RootStatus['state'], code: string, since = at(0)): Partial<RootStatus> => ({
  state,
  last_error: { code, message: `${code} it is`, at: since.toISOString() },
});

/** A root whose status changes, seen again and again; says what each look finds. */
class Watched {
  told: Told | undefined;
  status = settled;
  holds: readonly HoldRecord[] = [];
  last: readonly News[] = [];

  see(change: Partial<RootStatus>, events: readonly AuditEvent[] = [], now = at(0)): string[] {
    this.status = { ...this.status, ...change };
    const { status, holds } = this;
    const { told, news } = findNews(this.told, { status, events, holds, now });
    // What is kept has to survive its file.
    this.told = JSON.parse(JSON.stringify(told));
    this.last = news;
    return news.map(({ event, commit }) => `${event} ${commit}`);
  }
}

const converged = (commit: string, digest = `sha256:${commit}`): Partial<RootStatus> => ({
  ...{ state: 'converged', commit, converged_commit: commit, lock_digest: digest },
  last_error: null,
});

/** The events of an operation on Orders, of two seconds. */
function operation(commit: string, outcome: 'succeeded' | 'reverted' = 'succeeded'): AuditEvent[] {
  const operationId = uuidv7();
  const began = Number.parseInt(operationId.replace('-', '').slice(0, 12), 16);
  const detail = { commit, ring_operation: 'ring-1', reason: 'it came up sick' };
  const chain = { sequence: 1, previous: '', hash: '', time: new Date(began + 2000).toISOString() };
  return [
    {
      ...sampleEvent({ operationId, action: 'upgrade', from: '1.0.0', to: '1.0.1', outcome }),
      ...chain,
    },
    {
      ...sampleEvent({ operationId, action: 'operation', module: null, outcome, detail }),
      ...chain,
    },
  ];
}

describe('what the outside is told', () => {
  it('is each commit once, with what its operation changed', () => {
    const root = new Watched();
    assert.deepEqual(root.see({ state: 'starting' }), []);
    assert.deepEqual(root.see(converged('aaa')), ['converged aaa']);
    assert.deepEqual(root.see({ state: 'starting' }), []);
    assert.deepEqual(root.see(converged('aaa')), []);
    assert.deepEqual(root.see({ state: 'converging', commit: 'bbb' }), ['converging bbb']);
    assert.deepEqual(root.see({}), []);
    assert.deepEqual(root.see(converged('bbb'), operation('bbb')), ['converged bbb']);
    const [news] = root.last;
    assert.deepEqual(news?.operation?.modules, [
      { module: 'orders', action: 'upgrade', from: '1.0.0', to: '1.0.1' },
    ]);
    assert.equal(news?.operation?.duration_ms, 2000);
    assert.deepEqual(root.see(converged('ccc', 'sha256:bbb')), ['converged ccc']);
    assert.equal(root.last[0]?.operation, null);
  });

  it('keeps what an operation changed until its commit is seen as converged', () => {
    const root = new Watched();
    root.see(converged('aaa'));
    // The journal was read a moment later than the status.
    assert.deepEqual(root.see({}, operation('bbb')), []);
    root.see(converged('bbb'));
    assert.equal(root.last[0]?.operation?.modules.length, 1);
  });

  it('is no repair of what was told already', () => {
    const root = new Watched();
    root.see(converged('aaa'));
    assert.deepEqual(root.see({ state: 'converging' }), []);
    assert.deepEqual(root.see(converged('aaa'), operation('aaa')), []);
  });

  it('is a refusal once, and the next commit that converges', () => {
    const root = new Watched();
    root.see(converged('aaa'));
    const refusal = { ...failing('refused', 'incompatible'), commit: 'bbb' };
    assert.deepEqual(root.see(refusal), ['refused bbb']);
    assert.deepEqual(root.see(refusal), []);
    // A repair beside it.
    assert.deepEqual(root.see({ state: 'converging' }), []);
    assert.deepEqual(root.see(refusal), []);
    assert.deepEqual(root.see(converged('ccc', 'sha256:aaa')), ['converged ccc']);
  });

  it('is an operation taken back, from and to the other way round, and what the ring is then', () => {
    const root = new Watched();
    root.see(converged('aaa'));
    const held = { ...failing('held', 'failed-before'), commit: 'bbb', converged_commit: 'bbb' };
    assert.deepEqual(root.see(held, operation('bbb', 'reverted')), ['reverted bbb', 'held bbb']);
    const [news] = root.last;
    assert.deepEqual(news?.operation?.modules, [
      { module: 'orders', action: 'revert', from: '1.0.1', to: '1.0.0' },
    ]);
    assert.deepEqual(news?.error, { code: 'reverted', message: 'it came up sick' });
    assert.equal(news?.key, 'reverted ring-1');
  });

  it('is degraded and healthy again, one each', () => {
    const root = new Watched();
    root.see(converged('aaa'));
    const degraded = {
      ...failing('degraded', 'degraded'),
      ...{ commit: 'bbb', lock_digest: 'sha256:bbb' },
    };
    assert.deepEqual(root.see(degraded, operation('bbb')), ['degraded bbb']);
    assert.equal(root.last[0]?.operation?.modules.length, 1);
    assert.deepEqual(root.see(degraded), []);
    assert.deepEqual(root.see(converged('bbb')), ['recovered bbb']);
    assert.equal(root.last[0]?.ends, 'degraded bbb sha256:bbb');
    assert.deepEqual(root.see(converged('bbb')), []);
  });

  it('is an environment that fails when it has failed for a minute, and its end', () => {
    const root = new Watched();
    root.see(converged('aaa'));
    const away = failing('unreachable', 'remote-unreachable', at(10));
    assert.deepEqual(root.see(away, [], at(10)), []);
    assert.deepEqual(root.see(converged('aaa'), [], at(20)), []);
    assert.deepEqual(root.see(away, [], at(69)), []);
    assert.deepEqual(root.see(away, [], at(70)), ['unreachable aaa']);
    // A repair in the meantime is no deployment.
    assert.deepEqual(root.see({}, operation('aaa'), at(80)), []);
    assert.deepEqual(root.see(converged('aaa'), [], at(90)), ['recovered aaa']);
    // The next time is another one.
    const full = failing('failed', 'disk-full', at(100));
    assert.deepEqual(root.see(full, [], at(200)), ['failed aaa']);
  });

  it('is a hold and its end, but not those that were there before', () => {
    const root = new Watched();
    const hold = { version: '1.0.0', reason: 'refunds fail', by: 'ada' };
    root.holds = [{ alias: 'orders', at: '2025-01-01T00:00:00.000Z', hold }];
    assert.deepEqual(root.see({ state: 'starting' }), []);
    root.holds = [
      { alias: 'orders', at: '2026-01-01T00:00:00.000Z', hold: null },
      { alias: 'products', at: '2026-01-01T00:00:01.000Z', hold },
      { alias: 'mobile-app', at: '2024-01-01T00:00:00.000Z', hold: null },
    ];
    assert.deepEqual(root.see({}), ['unhold null', 'hold null']);
    assert.deepEqual(root.last[1]?.hold, { module: 'products', ...hold });
    assert.deepEqual(root.see({}), []);
  });
});
