import type pg from 'pg';
import { RinglockError } from '../errors.ts';
import { type TenantEvent, tenantEventsOfChange } from '../lifecycle/tenant-changes.ts';
import type { Lock } from '../repo/lock.ts';
import type { Settings } from '../repo/settings.ts';
import { parseTenantsFile, type Tenant } from '../repo/tenants.ts';
import type { Root } from '../store/root.ts';
import { runTenantHandler } from './application.ts';
import type { Log } from './log.ts';
import { type ModuleCode, readModuleCode } from './module-code.ts';
import type { TenantOutcome } from './operation-events.ts';
import type { RingMembership } from './ring/ring-membership.ts';

export interface FollowTenants {
  /** tenants.yaml as committed. */
  readonly text: string;
  readonly ring: string;
  readonly operationId: string;
  readonly root: Root;
  readonly membership: RingMembership;
  readonly settings: Settings;
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly record: (
    outcome: TenantOutcome,
    detail: Readonly<Record<string, unknown>>,
  ) => Promise<void>;
}

/**
 * Runs the tenants' handlers for what changed in tenants.yaml since the ring last looked; one replica
 * for the ring. Each event is written down before it is run: cut off, it runs again only if its handler
 * may. A ring that looks for the first time takes the file as it is.
 *
 * @throws RinglockError `invalid-yaml`, `invalid-file`
 */
export async function followTenants(follow: FollowTenants): Promise<void> {
  const { membership, root, text, ring } = follow;
  const { memory } = membership;
  const current = await root.current();
  if (current === undefined) return;
  const installed = [...current.lock.modules.keys()];
  const isDone = () =>
    memory.tenants?.text === text && memory.tenants.installed.join() === installed.join();
  if (isDone()) return;
  const { tenants } = parseTenantsFile(text);
  await membership.alone('tenants', async (client) => {
    if (isDone()) return;
    const known = memory.tenants;
    if (known !== undefined) {
      const before = {
        tenants: parseTenantsFile(known.text).tenants,
        installed: new Set(known.installed),
      };
      const after = { tenants, installed: new Set(installed) };
      await fire(follow, current.lock, tenantEventsOfChange(before, after, ring), client);
    }
    await memory.markTenants({ text, installed });
    if (client === undefined) return;
    await memory.sync(client);
    await recordTenants(client, ring, tenants);
  });
}

async function fire(
  follow: FollowTenants,
  lock: Lock,
  events: readonly TenantEvent[],
  client: pg.Client | undefined,
): Promise<void> {
  const { root, text, membership, signal } = follow;
  const { memory } = membership;
  for (const event of events) {
    signal.throwIfAborted();
    const entry = lock.modules.get(event.alias);
    const module = entry && (await readModuleCode(root, event.alias, entry));
    const handler = module?.manifest.lifecycle[event.event];
    if (module === undefined || handler === undefined) continue;
    const isNew = await memory.beginTenantEvent(text, eventKey(event));
    if (client !== undefined) await memory.sync(client);
    if (isNew || handler.idempotent === true) await runOne(follow, module, event);
    else await follow.record({ ...event, outcome: 'failed' }, { reason: 'it was cut off' });
  }
}

async function runOne(follow: FollowTenants, code: ModuleCode, event: TenantEvent): Promise<void> {
  const { log, record, signal } = follow;
  try {
    const output = await runTenantHandler(follow, code, event.event, event.tenant, signal);
    await record({ ...event, outcome: 'succeeded' }, { output: output ?? '' });
    log.info(`${event.event} of ${event.alias} for ${event.tenant}`);
  } catch (error) {
    if (!(error instanceof RinglockError) || signal.aborted) throw error;
    await record({ ...event, outcome: 'failed' }, { message: error.message });
    log.error(`${event.event} of ${event.alias} for ${event.tenant}: ${error.message}`);
  }
}

function eventKey({ tenant, alias, event }: TenantEvent): string {
  return `${tenant} ${alias} ${event}`;
}

/** The ring's tenants, for whoever asks the database. */
async function recordTenants(
  client: pg.Client,
  ring: string,
  tenants: ReadonlyMap<string, Tenant>,
): Promise<void> {
  const own = [...tenants.values()].filter((tenant) => tenant.ring === ring);
  await client.query('delete from tenants where ring = $1 and not id = any($2::text[])', [
    ring,
    own.map(({ id }) => id),
  ]);
  for (const { id, hostnames, modules, reason, since } of own) {
    await client.query(
      `insert into tenants (id, ring, hostnames, enabled_modules, reason, since)
       values ($1, $2, $3, $4, $5, $6::timestamptz)
       on conflict (id) do update set ring = excluded.ring, hostnames = excluded.hostnames,
         enabled_modules = excluded.enabled_modules, reason = excluded.reason, since = excluded.since,
         updated_at = now()`,
      [id, ring, hostnames, modules, reason ?? null, since ?? null],
    );
  }
}
