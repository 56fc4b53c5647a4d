import type { Tenant } from '../repo/tenants.ts';

export interface TenantEvent {
  readonly tenant: string;
  readonly alias: string;
  readonly event: 'onEnable' | 'onDisable';
}

/** What decides which modules a ring runs for whom. */
export interface RingTenants {
  /** By id: all tenants of tenants.yaml. */
  readonly tenants: ReadonlyMap<string, Tenant>;
  /** Aliases of the modules installed in the ring. */
  readonly installed: ReadonlySet<string>;
}

/**
 * The events of a change of tenants.yaml in one ring: `onEnable` for a tenant that comes to the ring
 * or gets a module, `onDisable` for one that leaves or loses it; disables first, each by tenant and
 * alias. Applied to what was enabled before, they give what is enabled after.
 *
 * A module that is not installed gives nothing. Its tenants get their `onEnable` when it is
 * installed, since no handler of it could have run earlier: ask tenantEventsOfChange().
 */
export function tenantEvents(
  before: ReadonlyMap<string, Tenant>,
  after: ReadonlyMap<string, Tenant>,
  ring: string,
  installed: ReadonlySet<string>,
): TenantEvent[] {
  return tenantEventsOfChange({ tenants: before, installed }, { tenants: after, installed }, ring);
}

/**
 * As tenantEvents(), where what is installed changes too: a module that is installed is enabled for
 * every tenant of the ring that has it in its list, one that is removed is disabled for them. Another
 * version of the same module gives nothing: onUpgrade and onDowngrade are for that.
 */
export function tenantEventsOfChange(
  before: RingTenants,
  after: RingTenants,
  ring: string,
): TenantEvent[] {
  const had = enabledPairs(before, ring);
  const has = enabledPairs(after, ring);
  return [
    ...[...had].filter(([key]) => !has.has(key)).map(([, pair]) => eventOf(pair, 'onDisable')),
    ...[...has].filter(([key]) => !had.has(key)).map(([, pair]) => eventOf(pair, 'onEnable')),
  ].sort(byEventTenantAlias);
}

interface EnabledPair {
  readonly tenant: string;
  readonly alias: string;
}

/** By a key that two different pairs cannot share: an alias has no blank. */
function enabledPairs(state: RingTenants, ring: string): ReadonlyMap<string, EnabledPair> {
  const pairs = [...state.tenants]
    .filter(([, tenant]) => tenant.ring === ring)
    .flatMap(([id, { modules }]) => modules.map((alias) => ({ tenant: id, alias })))
    .filter(({ alias }) => state.installed.has(alias));
  return new Map(pairs.map((pair) => [`${pair.alias} ${pair.tenant}`, pair]));
}

function eventOf(pair: EnabledPair, event: TenantEvent['event']): TenantEvent {
  return { ...pair, event };
}

function byEventTenantAlias(one: TenantEvent, other: TenantEvent): number {
  return (
    compare(one.event, other.event) ||
    compare(one.tenant, other.tenant) ||
    compare(one.alias, other.alias)
  );
}

/** By code unit: the same in every locale. `onDisable` comes before `onEnable`. */
function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
