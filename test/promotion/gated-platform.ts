import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openAuditLog } from '../../src/audit/audit-log.ts';
import { withDatabase } from '../../src/audit/database.ts';
import type { AuditEventInput } from '../../src/audit/event.ts';
import { createOutbox } from '../../src/audit/outbox.ts';
import { ensureSchema } from '../../src/audit/schema.ts';
import { recordStatus } from '../../src/audit/status-report.ts';
import { findRepository } from '../../src/git/git-command.ts';
import { readPlatform } from '../../src/git/platform-snapshot.ts';
import { workTree } from '../../src/git/tree-snapshot.ts';
import { planLocks, writeLocks } from '../../src/git/write-locks.ts';
import type { GateSources } from '../../src/promotion/judge-pins.ts';
import type { RootStatus } from '../../src/store/status-file.ts';
import { sampleEvent } from '../support/audit-event.ts';
import { onEnd } from '../support/cleanup.ts';
import { asPlatform, createPlatform, type Platform } from '../support/platform.ts';
import { openRepository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A platform whose canary is one version of Orders ahead, with gates of edge. */
export async function gatedPlatform(t: TestContext, gates: string): Promise<Platform> {
  made ??= makeOnce(t);
  const path = temporaryDirectory(t, 'gated');
  cpSync(await made, path, { recursive: true });
  const platform = asPlatform(openRepository(path));
  platform.commit('Gates', {
    'manifests/edge.ring.yaml': `# Edge.\nnamespace: platform-edge\npromotesFrom: canary\ngates:\n${gates.replace(/^/gm, '  ')}\n`,
  });
  return platform;
}

/** Made once for a test file, and copied: making one takes many calls of git. */
let made: Promise<string> | undefined;

async function makeOnce(t: TestContext): Promise<string> {
  const platform = createPlatform(t, { commit: false });
  await lockRings(platform, ['canary', 'edge', 'stable']);
  platform.commit('Start the platform');
  await releaseOrders(platform, '1.1.0');
  const kept = mkdtempSync(join(tmpdir(), 'ringlock-gated-'));
  process.on('exit', () => rmSync(kept, { recursive: true, force: true }));
  cpSync(platform.path, kept, { recursive: true });
  return kept;
}

/** Commits a version of Orders, which canary tracks. */
export async function releaseOrders(platform: Platform, version: string): Promise<string> {
  platform.change('Orders');
  platform.setVersion('Orders', version);
  await lockCanary(platform);
  return platform.commit(`Orders ${version}`);
}

/** Writes canary's lock, as `ringlock lock` does. */
export function lockCanary(platform: Platform): Promise<void> {
  return lockRings(platform, ['canary']);
}

async function lockRings(platform: Platform, rings: readonly string[]): Promise<void> {
  const repository = await findRepository(platform.path);
  const snapshot = await readPlatform(repository, await workTree(repository), { cache: false });
  for (const ring of rings) {
    const locks = await planLocks(repository, snapshot, { ring, force: true });
    await writeLocks(repository, locks, false);
  }
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
