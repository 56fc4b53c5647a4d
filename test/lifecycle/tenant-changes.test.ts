import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type RingTenants,
  type TenantEvent,
  tenantEvents,
  tenantEventsOfChange,
} from '../../src/lifecycle/tenant-changes.ts';
import type { Tenant } from '../../src/repo/tenants.ts';

type Listed = Readonly<Record<string, readonly [ring: string, ...modules: string[]]>>;

const tenantsOf = (listed: Listed): ReadonlyMap<string, Tenant> =>
  new Map(
    Object.entries(listed).map(([id, [ring, ...modules]]) => [
      id,
      { id, ring, modules, hostnames: [], reason: undefined, since: undefined },
    ]),
  );

const installed = new Set(['orders', 'products']);

/** The events of ring edge, as `onEnable acme orders`. */
const events = (before: Listed, after: Listed, of: ReadonlySet<string> = installed) =>
  tenantEvents(tenantsOf(before), tenantsOf(after), 'edge', of).map(
    ({ event, tenant, alias }) => `${event} ${tenant} ${alias}`,
  );

describe('the events of a change of tenants.yaml', () => {
  it('enables what a tenant gets, and disables what it loses', () => {
    assert.deepEqual(events({ acme: ['edge', 'orders'] }, { acme: ['edge', 'products'] }), [
      'onDisable acme orders',
      'onEnable acme products',
    ]);
  });

  it('enables all modules of a tenant that comes to the ring, and disables all of one that leaves', () => {
    const stable = { acme: ['stable', 'products', 'orders'] } as const;
    const edge = { acme: ['edge', 'products', 'orders'] } as const;
    const all = ['acme orders', 'acme products'];
    assert.deepEqual(
      events(stable, edge),
      all.map((one) => `onEnable ${one}`),
    );
    assert.deepEqual(
      events(edge, stable),
      all.map((one) => `onDisable ${one}`),
    );
    assert.deepEqual(
      events({}, edge),
      all.map((one) => `onEnable ${one}`),
    );
    assert.deepEqual(
      events(edge, {}),
      all.map((one) => `onDisable ${one}`),
    );
  });

  it('gives nothing for another ring, or a module that is not installed', () => {
    assert.deepEqual(events({}, { acme: ['stable', 'orders'] }), []);
    assert.deepEqual(events({}, { acme: ['edge', 'loyalty'] }), []);
    assert.deepEqual(events({ acme: ['stable', 'orders'] }, { acme: ['canary', 'orders'] }), []);
  });

  it('gives all disables first, then the enables, each by tenant and alias', () => {
    assert.deepEqual(
      events(
        { zeta: ['edge', 'orders'], beta: ['edge', 'products', 'orders'] },
        { zeta: ['edge', 'products'], alpha: ['edge', 'products', 'orders'] },
      ),
      [
        'onDisable beta orders',
        'onDisable beta products',
        'onDisable zeta orders',
        'onEnable alpha orders',
        'onEnable alpha products',
        'onEnable zeta products',
      ],
    );
  });

  it('gives a module that is listed twice once', () => {
    assert.deepEqual(events({}, { acme: ['edge', 'orders', 'orders'] }), ['onEnable acme orders']);
  });

  it('enables a module that is installed later for those who have it, and disables a removed one', () => {
    const tenants = tenantsOf({ acme: ['edge', 'orders', 'loyalty'], beta: ['stable', 'loyalty'] });
    const without = { tenants, installed };
    const withLoyalty = { tenants, installed: new Set([...installed, 'loyalty']) };
    const loyalty = { tenant: 'acme', alias: 'loyalty' };
    assert.deepEqual(tenantEventsOfChange(without, withLoyalty, 'edge'), [
      { ...loyalty, event: 'onEnable' },
    ]);
    assert.deepEqual(tenantEventsOfChange(withLoyalty, without, 'edge'), [
      { ...loyalty, event: 'onDisable' },
    ]);
  });
});

const aliases = ['orders', 'products', 'loyalty', 'mobile-app'];
const rings = ['edge', 'stable'];
const anyTenants = fc
  .dictionary(
    fc.constantFrom('acme', 'beta', 'b-1', 'zeta'),
    fc.tuple(fc.constantFrom(...rings), fc.subarray(aliases)),
  )
  .map((listed) =>
    tenantsOf(
      Object.fromEntries(Object.entries(listed).map(([id, [ring, list]]) => [id, [ring, ...list]])),
    ),
  );
const anyState: fc.Arbitrary<RingTenants> = fc.record({
  tenants: anyTenants,
  installed: fc.subarray(aliases).map((list) => new Set(list)),
});

const enabledIn = ({ tenants, installed: there }: RingTenants): Set<string> =>
  new Set(
    [...tenants.values()]
      .filter(({ ring }) => ring === 'edge')
      .flatMap(({ id, modules }) => modules.map((alias) => ({ id, alias })))
      .filter(({ alias }) => there.has(alias))
      .map(({ id, alias }) => `${id}/${alias}`),
  );

/** Fails on an event that changes nothing: no tenant hears of the same change twice. */
function apply(enabled: ReadonlySet<string>, list: readonly TenantEvent[]): Set<string> {
  const result = new Set(enabled);
  for (const { tenant, alias, event } of list) {
    const pair = `${tenant}/${alias}`;
    if (event === 'onEnable') {
      assert.ok(!result.has(pair), `${pair} is enabled twice`);
      result.add(pair);
    } else {
      assert.ok(result.delete(pair), `${pair} is disabled without being enabled`);
    }
  }
  return result;
}

const only = (list: readonly TenantEvent[], event: TenantEvent['event']) =>
  list.filter((one) => one.event === event).map(({ tenant, alias }) => `${tenant}/${alias}`);

describe('for any two states', () => {
  it('the same gives nothing, in whatever order it is written', () => {
    fc.assert(
      fc.property(anyTenants, anyState, (tenants, { installed: there }) => {
        const shuffled = new Map([...tenants].reverse());
        assert.deepEqual(tenantEvents(tenants, shuffled, 'edge', there), []);
      }),
    );
  });

  it('the events lead from one to the other', () => {
    fc.assert(
      fc.property(anyState, anyState, (before, after) => {
        const list = tenantEventsOfChange(before, after, 'edge');
        assert.deepEqual(apply(enabledIn(before), list), enabledIn(after));
      }),
    );
  });

  it('two changes in a row lead where the whole change does', () => {
    fc.assert(
      fc.property(anyState, anyState, anyState, (one, two, three) => {
        const direct = tenantEventsOfChange(one, three, 'edge');
        const steps = [
          ...tenantEventsOfChange(one, two, 'edge'),
          ...tenantEventsOfChange(two, three, 'edge'),
        ];
        const start = enabledIn(one);
        assert.deepEqual(apply(start, steps), apply(start, direct));
        assert.ok(direct.length <= steps.length);
      }),
    );
  });

  it('the way back enables what the way there disabled, and disables what it enabled', () => {
    fc.assert(
      fc.property(anyTenants, anyTenants, anyState, (one, two, { installed: there }) => {
        const forth = tenantEvents(one, two, 'edge', there);
        const back = tenantEvents(two, one, 'edge', there);
        assert.deepEqual(only(forth, 'onEnable'), only(back, 'onDisable'));
        assert.deepEqual(only(forth, 'onDisable'), only(back, 'onEnable'));
      }),
    );
  });

  it('a tenant that only changes rings hears of each of its modules once in each ring', () => {
    fc.assert(
      fc.property(anyTenants, anyState, (before, { installed: there }) => {
        const moved = new Map(
          [...before].map(([id, tenant]) => [
            id,
            { ...tenant, ring: tenant.ring === 'edge' ? 'stable' : 'edge' },
          ]),
        );
        assert.deepEqual(
          only(tenantEvents(before, moved, 'edge', there), 'onDisable'),
          only(tenantEvents(before, moved, 'stable', there), 'onEnable'),
        );
      }),
    );
  });
});
