import { readdir } from 'node:fs/promises';
import { Counter, Gauge, type Registry } from 'prom-client';

/**
 * The few of prom-client's default metrics that an operator asks for, with their names. The defaults
 * themselves keep a sampler of the event loop and an observer of the collector running between scrapes.
 */
export async function addProcessMetrics(registry: Registry, startedAt: number): Promise<void> {
  const gauge = (name: string, help: string, value: number) =>
    new Gauge({ name, help, registers: [registry] }).set(value);
  const { user, system } = process.cpuUsage();
  const memory = process.memoryUsage();
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time spent, in seconds',
    registers: [registry],
  }).inc((user + system) / 1e6);
  gauge('process_resident_memory_bytes', 'Resident memory, in bytes', memory.rss);
  gauge('process_start_time_seconds', 'When the process began, Unix time', startedAt / 1000);
  gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use, in bytes', memory.heapUsed);
  gauge('nodejs_external_memory_bytes', 'Buffers outside of that heap, in bytes', memory.external);
  gauge(
    'nodejs_eventloop_lag_seconds',
    'How late the event loop is as this is asked, in seconds',
    await eventLoopLag(),
  );
  const descriptors = await readdir('/proc/self/fd').catch(() => undefined);
  if (descriptors !== undefined) {
    gauge('process_open_fds', 'Open file descriptors', descriptors.length);
  }
}

/** How long it takes until what is to run next runs, in seconds. */
function eventLoopLag(): Promise<number> {
  const since = performance.now();
  return new Promise((resolve) => {
    setImmediate(() => resolve((performance.now() - since) / 1000));
  });
}
