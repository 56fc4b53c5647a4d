import { uuidv7 } from 'uuidv7';
import type { AuditLog } from '../audit/audit-log.ts';
import { seedActor } from '../audit/event.ts';
import type { Plan } from '../plan/plan.ts';
import type { Lock } from '../repo/lock.ts';
import type { Root } from '../store/root.ts';
import { buildSeedGeneration, readSeed } from '../store/seed.ts';
import { makeVisible } from './make-visible.ts';
import { switchEvents } from './operation-events.ts';

/**
 * Starts a root that shows nothing from a baked seed, so that a new pod serves while git is away.
 *
 * @throws RinglockError `seed-missing`, `seed-incomplete`, `digest-mismatch`, `invalid-file`, …
 */
export async function seedRoot(
  root: Root,
  audit: AuditLog,
  directory: string,
  { ring, replica }: { readonly ring: string; readonly replica: string },
): Promise<void> {
  const seed = await readSeed(directory, ring);
  const operationId = uuidv7();
  const generation = await buildSeedGeneration(root, seed, operationId);
  const actor = { name: seedActor, commit: seed.commit };
  const facts = { operationId, ring, replica, actor };
  const events = switchEvents(facts, installAll(seed.lock), new Map(), {
    commit: seed.commit,
    from_generation: null,
    to_generation: generation.number,
    lock_digest: generation.lockDigest,
    platform: seed.lock.platform,
  });
  const change = { operationId, commit: seed.commit, before: undefined, after: generation, events };
  await makeVisible(root, audit, change);
}

function installAll(lock: Lock): Plan {
  const steps = [...lock.modules].map(([alias, to]) => ({
    action: 'install' as const,
    alias,
    from: null,
    to,
  }));
  return { steps, keep: [], skipped: [], effective: lock };
}
