import { uuidv7 } from 'uuidv7';
import type { AuditEventInput } from '../../src/audit/event.ts';

/** The digest that samples use for a version. */
export function sampleDigest(version: string): string {
  return `sha256:${Buffer.from(version).toString('hex').padEnd(64, '0').slice(0, 64)}`;
}

/** An event as a reconciler of `edge` reports one: orders 1.4.2 installed, unless said otherwise. */
export function sampleEvent(changes: Partial<AuditEventInput> = {}): AuditEventInput {
  const to = changes.to === undefined ? '1.4.2' : changes.to;
  return {
    id: uuidv7(),
    ring: 'edge',
    replica: 'pod-a',
    actor: { name: 'Ada Developer <ada@example.com>', commit: 'c'.repeat(40) },
    operationId: uuidv7(),
    action: 'install',
    module: 'orders',
    from: null,
    to,
    digest: sampleDigest(to ?? 'none'),
    outcome: 'succeeded',
    detail: { source_path: 'versions/orders/1.4.2', size_bytes: 1834, file_count: 3 },
    ...changes,
  };
}
