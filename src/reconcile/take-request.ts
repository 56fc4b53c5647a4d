import { RinglockError } from '../errors.ts';
import { changesKey, type LocalHold, type ModuleChange } from '../plan/desired-lock.ts';
import type { OperatorAct } from './operation-events.ts';
import type { FiledRequest } from './operator-requests.ts';
import { abortOperation } from './ring/abort-operation.ts';
import type { RingMembership } from './ring/ring-membership.ts';
import type { RingMemory } from './ring/ring-memory.ts';

/**
 * Puts what a person asked into the ring's memory; the pass that follows obeys it.
 *
 * @returns what the audit says of it
 */
export async function takeRequest(
  request: FiledRequest,
  membership: RingMembership,
  {
    ring,
    changes,
  }: { readonly ring: string; readonly changes: readonly ModuleChange[] | undefined },
): Promise<OperatorAct> {
  const { memory } = membership;
  const { kind, by } = request;
  const act = { alias: null, version: null, detail: { request: kind } };
  switch (kind) {
    case 'hold': {
      const { alias, entry, reason, withDown } = request;
      await memory.hold(alias, {
        ...{ entry, reason, by, since: request.at },
        ...(withDown && { withDown }),
        replaced: { request: request.id, hold: replacedBy(request, memory.holds.get(alias)) },
      });
      const { version } = entry;
      const message = `holds ${alias} at ${version}: ${reason}`;
      return { alias, version, message, detail: { request: kind, reason } };
    }
    case 'unhold': {
      const { alias } = request;
      const wasHeld = await memory.unhold(alias);
      return {
        ...act,
        alias,
        message: wasHeld ? `holds ${alias} no more` : `${alias} was not held`,
      };
    }
    case 'undo':
      return { ...act, ...(await undo(request, memory)) };
    case 'retry': {
      const forgotten = await memory.retry(request.aliases);
      const sets = forgotten.map((failed) => changesKey(failed.changes));
      return { ...act, message: `tries again: ${sets.join('; ') || 'nothing had failed'}` };
    }
    case 'abort':
      return { ...act, message: await abort(membership, ring, request.reason, changes) };
  }
}

/** Taken again after a kill, it finds itself. */
function replacedBy({ id }: FiledRequest, present: LocalHold | undefined): LocalHold | null {
  if (present === undefined) return null;
  const { replaced, ...hold } = present;
  return replaced?.request === id ? replaced.hold : hold;
}

async function undo(
  { alias, request }: Extract<FiledRequest, { kind: 'undo' }>,
  memory: RingMemory,
): Promise<Pick<OperatorAct, 'alias' | 'version' | 'message'>> {
  const replaced = memory.holds.get(alias)?.replaced;
  if (replaced?.request !== request) {
    return { alias, version: null, message: `${alias} is not held by what is to be undone` };
  }
  if (replaced.hold === null) {
    await memory.unhold(alias);
    return { alias, version: null, message: `holds ${alias} no more: it could not be served` };
  }
  await memory.hold(alias, replaced.hold);
  const version = replaced.hold.entry?.version ?? null;
  return { alias, version, message: `holds ${alias} as before: ${replaced.hold.reason}` };
}

async function abort(
  membership: RingMembership,
  ring: string,
  reason: string,
  changes: readonly ModuleChange[] | undefined,
): Promise<string> {
  try {
    const stopped = await membership.withClient((client) => abortOperation(client, ring, reason));
    if (stopped !== undefined) return `aborts ${changesKey(stopped.changes)}: ${reason}`;
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    // With the database away this pod at least stops by itself.
    if (error.exitCode !== 3) return error.message;
  }
  if (changes === undefined) return `no operation of ring ${ring} is under way`;
  await membership.memory.markFailed({ changes, reason, commit: null });
  return `aborts ${changesKey(changes)}: ${reason}`;
}
