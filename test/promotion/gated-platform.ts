import type { TestContext } from 'node:test';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { withDatabase } from '../../src/audit/database.ts';
import type { AuditEventInput } from '../../src/audit/event.ts';
import { createOutbox } from '../../src/audit/outbox.ts';
import { ensureSchema } from '../../src/audit/schema.ts';
import { recordStatus } from '../../src/audit/status-report.ts';
import type { GateSources } from '../../src/promotion/judge-pins.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import { sampleEvent } from '../support/audit-event.ts';
import { onEnd } from '../support/cleanup.ts';
import { createPlatform, type Platform, writeLocks } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A platform whose canary is one version of Orders ahead, with gates of edge. */
export function gatedPlatform(t: TestContext, gates: string): Platform {
  const platform = createPlatform(t);
  platform.commit('Gates', {
    'manifests/edge.ring.yaml': `# Edge.\nnamespace: platform-edge\npromotesFrom: canary\ngates:\n${gates.replace(/^/gm, '  ')}\n`,
  });
  releaseOrders(platform, '1.1.0');
  return platform;
}

/** Commits a version of Orders, which canary tracks. */
export function releaseOrders(platform: Platform, version: string): string {
  platform.change('Orders');
  platform.setVersion('Orders', version);
  platform.git('add', '-A');
  writeLocks(platform, ['canary']);
  return platform.commit(`Orders ${version}`);
}

/** A ring's present entry of a module. */
export function entryOf(
  platform: Platform,
  ring: string,
  alias = 'orders',
): { version: string; sha256: string } {
  return JSON.parse(platform.read(`manifests/${ring}.lock.json`)).modules[alias];
}

export function sourcesOf(more: Partial<GateSources> = {}): GateSources {
  const environment = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  return {
    ...{ databaseUrl: async () => undefined, signers: undefined, environment, now: new Date() },
    ...more,
  };
}

/** A replica whose audit is real; its clock stands where it is said. */
export interface AuditedReplica {
  /** A step at a time, and the operation's end a second later. */
  step(at: Date, step: Partial<AuditEventInput>): Promise<void>;
  /** Only what is given. */
  append(at: Date, ...events: Partial<AuditEventInput>[]): Promise<void>;
  /** What it says of itself now. */
  report(status: Partial<RootStatus>): Promise<void>;
}

export async function auditedReplica(
  t: TestContext,
  url: string,
  ring: string,
  replica: string,
): Promise<AuditedReplica> {
  const directory = temporaryDirectory(t, 'audit');
  let now = new Date(0);
  const log = await openAuditLog({ directory, now: () => now });
  onEnd(t, () => log.close());
  const outbox = createOutbox({ directory, databaseUrl: () => url });
  const append: AuditedReplica['append'] = async (at, ...events) => {
    now = at;
    await log.append(events.map((event) => sampleEvent({ ring, replica, ...event })));
    await outbox.deliver();
  };
  return {
    append,
    step: async (at, step) => {
      const operationId = sampleEvent().operationId;
      await append(at, { operationId, action: 'upgrade', ...step });
      const whole = { module: null, from: null, to: null, digest: null };
      await append(new Date(at.getTime() + 1000), {
        ...{ operationId, action: 'operation', ...whole, outcome: step.outcome ?? 'succeeded' },
      });
    },
    report: (status) =>
      withDatabase(url, async (client) => {
        await ensureSchema(client);
        await recordStatus(client, {
          ...({ ring, replica, state: 'converged', modules: {} } as unknown as RootStatus),
          ...{ observed_at: new Date().toISOString(), ringlock_version: '0.0.0', last_error: null },
          ...status,
        });
      }),
  };
}
