import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { uuidv7 } from 'uuidv7';
import type { AuditLog } from '../audit/audit-log.ts';
import { refused } from '../errors.ts';
import type { Root } from '../store/root.ts';
import { type RootIdentity, readRootFile } from '../store/root-file.ts';
import { setAside } from '../store/set-aside.ts';
import type { Log } from './log.ts';
import { operatorEvent } from './operation-events.ts';

/**
 * Whose a root is; undefined while it has served nothing. `root.json` says so; an older version, which does
 * not write it, leaves it to the generation that it built.
 */
export async function identityOf(root: Root): Promise<RootIdentity | undefined> {
  const file = await readRootFile(root.path);
  const current = await root.current();
  const ring = file?.ring ?? undefined;
  const isOlderThanServed = current !== undefined && current.createdAt > (file?.since ?? '');
  if (file !== undefined && ring !== undefined && !isOlderThanServed) return { ...file, ring };
  if (current === undefined) return undefined;
  const { repository, branch, lock } = current;
  return {
    ring: lock.ring,
    repository: repository ?? file?.repository ?? null,
    branch: branch ?? file?.branch ?? null,
  };
}

/** Whether two addresses only write one repository differently: credentials, `.git`, a slash. */
export function isSameRepository(one: string, other: string): boolean {
  return plainAddress(one) === plainAddress(other);
}

function plainAddress(address: string): string {
  let plain = address;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(address) && URL.canParse(address)) {
    const url = new URL(address);
    url.username = '';
    url.password = '';
    url.search = '';
    url.hash = '';
    plain = url.protocol === 'file:' ? fileURLToPath(url) : url.href;
  }
  return plain.replace(/\/+$/, '').replace(/\/?\.git$/, '');
}

export interface RingChange {
  readonly root: Root;
  readonly audit: AuditLog;
  readonly ring: string;
  readonly replica: string;
  readonly adopt: boolean;
  readonly log: Log;
  readonly now: () => Date;
}

/**
 * A root stays one ring's: every lock of a repository descends from the same commits, so that nothing else
 * would keep a pod from serving another ring's versions. With `adopt` it is taken over; what the other ring
 * remembers is moved aside.
 *
 * @throws RinglockError `other-ring`
 */
export async function requireOwnRing(change: RingChange): Promise<void> {
  const { root, audit, ring, replica, adopt, log, now } = change;
  const known = await identityOf(root);
  if (known === undefined || known.ring === ring) return;
  if (!adopt) {
    throw refused(
      'other-ring',
      `${root.path} is a root of the ring ${known.ring}, this reconciler is one of ${ring}`,
      {
        hint: `Give ${ring} a root of its own. To take this one over, start the reconciler with --adopt: what ${known.ring} remembers (holds, failed versions) is then moved aside.`,
      },
    );
  }
  for (const name of ['ring-memory.json', 'ring/ring-steps.json']) {
    const isThere = await lstat(join(root.path, name)).catch(() => undefined);
    if (isThere !== undefined) await setAside(root.path, name, now());
  }
  const message = `the root of ${known.ring} was taken over for ${ring}, as --adopt says`;
  log.warn(message);
  const facts = { operationId: uuidv7(), ring, replica, actor: { name: 'ringlock', commit: null } };
  const detail = { from_ring: known.ring, to_ring: ring };
  await audit.append([operatorEvent(facts, { alias: null, version: null, message, detail })]);
  await root.identify({ ...known, ring });
}
