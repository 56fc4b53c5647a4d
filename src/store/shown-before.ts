import { readJournal } from '../audit/journal.ts';
import { listGenerationNumbers } from './generation.ts';
import type { Journal } from './journal.ts';
import { auditPath } from './layout.ts';
import type { SwitchLog } from './switch-log.ts';

/**
 * Which generations `current` has shown, by the first of switches.json, the journal and the audit that
 * knows any: each of them may be lost, and what was never shown must not be shown by a recovery.
 */
export async function numbersEverShown(
  root: string,
  log: SwitchLog,
  journal: Journal,
): Promise<ReadonlySet<number>> {
  if (log.shown.size > 0) return new Set(log.shown.keys());
  const switched = numbersSwitchedTo(journal);
  if (switched.size > 0) return switched;
  // Reading the whole audit is for a root that has lost both, not for a new one.
  const isNew = (await listGenerationNumbers(root)).length === 0;
  return isNew ? new Set() : numbersAudited(root);
}

function numbersSwitchedTo(journal: Journal): Set<number> {
  const records = journal.records();
  const switched = new Set(
    records.flatMap(({ type, operationId }) =>
      type === 'switched' || type === 'committed' ? [operationId] : [],
    ),
  );
  return new Set(
    records.flatMap((record) =>
      record.type === 'prepared' && switched.has(record.operationId) ? [record.toGeneration] : [],
    ),
  );
}

async function numbersAudited(root: string): Promise<Set<number>> {
  const numbers = new Set<number>();
  try {
    for await (const { event } of readJournal(auditPath(root))) {
      const to = event.detail['to_generation'];
      if (event.outcome === 'succeeded' && typeof to === 'number') numbers.add(to);
    }
  } catch {
    // A broken chain is reported by whoever opens it; what came before the break is known.
  }
  return numbers;
}
