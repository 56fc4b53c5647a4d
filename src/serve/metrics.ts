import { Counter, Gauge, Registry } from 'prom-client';
import type { Counts } from '../reconcile/counts.ts';
import type { Tally } from '../reconcile/tally.ts';
import type { RootState, RootStatus } from '../store/status-file.ts';
import type { Observed } from './observed.ts';
import { addProcessMetrics } from './process-metrics.ts';
import { type HistogramNames, TalliedHistogram } from './tallied-histogram.ts';

const states: readonly RootState[] = [
  'starting',
  'converged',
  'converging',
  'refused',
  'failed',
  'unreachable',
  'suspended',
  'held',
  'degraded',
];

/**
 * What is known of the root as Prometheus text, format 0.0.4; docs/observability.md lists it. All of it is
 * made anew each time, so that what is gone is gone.
 */
export async function metricsText(observed: Observed): Promise<string> {
  const { tally } = observed;
  const status = observed.status();
  const registry = new Registry();
  registry.setDefaultLabels({ ring: status.ring, replica: status.replica });
  addRootMetrics(registry, observed, status);
  addHoldMetrics(registry, observed, status);
  addWorkMetrics(registry, tally);
  await addProcessMetrics(registry, tally.startedAt);
  return registry.metrics();
}

function addRootMetrics(registry: Registry, { tally }: Observed, status: RootStatus): void {
  const gauge = gauges(registry);
  gauge('build_info', 'Version of ringlock and of Node.js', ['version', 'node']).set(
    { version: status.ringlock_version, node: process.version },
    1,
  );
  const state = gauge('state', 'Whether the root is in a state (1) or not (0)', ['state']);
  for (const name of states) state.set({ state: name }, status.state === name ? 1 : 0);
  gauge('generation', 'Number of the generation that serves, -1 when none does').set(
    status.generation ?? -1,
  );
  const commit = gauge('commit_info', 'The commit whose lock serves', ['commit']);
  if (status.converged_commit !== null) commit.set({ commit: status.converged_commit }, 1);
  const observed = gauge('observed_commit_info', "The branch's commit seen last", ['commit']);
  if (status.commit !== null) observed.set({ commit: status.commit }, 1);
  const modules = gauge('module_info', 'A module that serves', ['module', 'version']);
  for (const [module, version] of Object.entries(status.modules)) {
    modules.set({ module, version }, 1);
  }
  timestamp(
    gauge,
    'last_sync',
    'When a pass last left the root as the lock of the branch says',
    tally.lastSync ?? timeOf(status.converged_at),
  );
  timestamp(gauge, 'last_observed', 'When the branch was seen last', timeOf(status.observed_at));
  gauge('drifted_modules', 'Modules that differ on disk and are not yet put back').set(
    tally.drift.size,
  );
  if (status.outbox_pending !== null) {
    gauge('audit_outbox_events', 'Audit events not yet in Postgres').set(status.outbox_pending);
  }
}

/** What keeps a ring from its committed lock. */
function addHoldMetrics(registry: Registry, { memory }: Observed, status: RootStatus): void {
  const gauge = gauges(registry);
  const hold = gauge('hold', 'A module that a person keeps at a version', ['module', 'version']);
  for (const [module, { version }] of Object.entries(status.holds ?? {})) {
    hold.set({ module, version: version ?? '' }, 1);
  }
  const held = gauge('held_back', 'A module at its last good version, since a newer one failed', [
    'module',
  ]);
  for (const module of Object.keys(status.held ?? {})) held.set({ module }, 1);
  gauge('failed_sets', 'Sets of versions that failed and are not tried again').set(
    memory.failures.length,
  );
  gauge('degraded', 'Whether the application is not well with what serves').set(
    status.degraded ? 1 : 0,
  );
  gauge('suspended', 'Whether the ring is suspended').set(status.state === 'suspended' ? 1 : 0);
}

function addWorkMetrics(registry: Registry, tally: Tally): void {
  const count = (name: string, help: string, labelNames: readonly string[], counts: Counts) => {
    const config = { name: `ringlock_${name}_total`, help, labelNames: [...labelNames] };
    const counter = new Counter({ ...config, registers: [registry] });
    for (const { labels, value } of counts) counter.inc({ ...labels }, value);
  };
  const total = (name: string, help: string, value: number) =>
    new Counter({ name: `ringlock_${name}_total`, help, registers: [registry] }).inc(value);
  const { operations, steps, failures, webhooks, traffic } = tally;
  count('operations', 'Operations that ended', ['kind', 'outcome'], operations);
  count('module_steps', 'Steps of committed operations', ['action'], steps);
  count('failures', 'Failures by code', ['code'], failures);
  count('webhook_requests', 'Webhooks by how they were answered', ['answer'], webhooks);
  total('git_requests', 'Requests to the git server', traffic.requests);
  total('git_received_bytes', 'Bytes that the git server sent', traffic.bytes);
  addBacklogs(registry, tally);
  const gauge = gauges(registry);
  const running = gauge(
    'operation_started_timestamp_seconds',
    'When the operation under way began, Unix time',
    ['kind'],
  );
  if (tally.running !== undefined) {
    running.set({ kind: tally.running.kind }, Date.parse(tally.running.since) / 1000);
  }
  for (const [name, help, labelNames, durations] of [
    ['pass', 'How long passes took', [], tally.passes],
    ['git_request', 'How long the git server took for what was new', ['request'], tally.requests],
    ['operation', 'How long operations took', ['kind', 'outcome'], tally.operationTimes],
    ['operation_phase', 'How long phases of operations took', ['phase'], tally.phases],
  ] as const) {
    const names: HistogramNames = {
      name: `ringlock_${name}_duration_seconds`,
      help: `${help}, in seconds`,
      labelNames,
    };
    registry.registerMetric(new TalliedHistogram(names, durations));
  }
}

/** Two receivers of one name are shown as one. */
function addBacklogs(registry: Registry, { backlogs }: Tally): void {
  const gauge = gauges(registry);
  const waiting = gauge('outward_messages', 'Messages that wait for a receiver', ['receiver']);
  const failures = gauge('outward_failures', 'Attempts in a row that a receiver did not take', [
    'receiver',
  ]);
  for (const { receiver, messages, failures: inARow } of backlogs()) {
    waiting.inc({ receiver }, messages);
    failures.inc({ receiver }, inARow);
  }
}

type MakeGauge = ReturnType<typeof gauges>;

function gauges(registry: Registry) {
  return (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({
      name: `ringlock_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [registry],
    });
}

/** One that is not known yet is left out: 0 would be a time long past. */
function timestamp(gauge: MakeGauge, name: string, help: string, ms: number | undefined): void {
  if (ms !== undefined) gauge(`${name}_timestamp_seconds`, `${help}, Unix time`).set(ms / 1000);
}

/** Milliseconds since 1970. */
function timeOf(text: string | null): number | undefined {
  return text === null ? undefined : Date.parse(text);
}
