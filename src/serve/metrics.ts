import { Gauge, Registry } from 'prom-client';
import type { RootState, RootStatus } from '../store/status-file.ts';

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

/** The status as Prometheus text; gauges are made anew each time, so that what is gone is gone. */
export async function metricsText(status: RootStatus): Promise<string> {
  const registry = new Registry();
  registry.setDefaultLabels({ ring: status.ring, replica: status.replica });
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({
      name: `ringlock_${name}`,
      help,
      labelNames: [...labelNames],
      registers: [registry],
    });

  const state = gauge('state', 'Whether the root is in a state (1) or not (0)', ['state']);
  for (const name of states) state.set({ state: name }, status.state === name ? 1 : 0);
  gauge('generation', 'Number of the generation that serves').set(status.generation ?? -1);
  const hold = gauge('hold', 'A module that a person keeps at a version', ['module', 'version']);
  for (const [module, { version }] of Object.entries(status.holds ?? {})) {
    hold.set({ module, version: version ?? '' }, 1);
  }
  const held = gauge('held_back', 'A module at its last good version, since a newer one failed', [
    'module',
  ]);
  for (const module of Object.keys(status.held ?? {})) held.set({ module }, 1);
  gauge('degraded', 'Whether the application is not well with what serves').set(
    status.degraded ? 1 : 0,
  );
  if (status.outbox_pending !== null) {
    gauge('audit_outbox_events', 'Audit events not yet in Postgres').set(status.outbox_pending);
  }
  return registry.metrics();
}
