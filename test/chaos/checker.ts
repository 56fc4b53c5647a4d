import {
  activeVersions,
  databaseEvents,
  databaseOperations,
  databaseStatus,
} from './check-database.ts';
import {
  committedLock,
  completeGeneration,
  currentStays,
  keptGenerations,
  leftovers,
  nothingForeign,
  objectDatabase,
  retention,
  statusConverged,
} from './check-disk.ts';
import { acknowledged, auditChain, auditFile, events, operatorEvents } from './check-events.ts';
import {
  applicationFollows,
  handlersOnce,
  ringOperations,
  ringSteps,
  schemaFollows,
  schemaOnce,
} from './check-ring.ts';
import { type LockFile, readServed, type Served } from './read-root.ts';

/** A lock that may be served: as a commit has it, but for modules that are held as others have them. */
export interface WantedLock {
  readonly commit: string;
  /** Alias → the commit whose lock has the version that it is held at. */
  readonly held?: Readonly<Record<string, string>>;
}

/** Where a root has to stand once a pass has ended by itself. */
export interface Standing {
  readonly lock: WantedLock;
  /** The branch's tip as it was last seen, and the last commit that the root was converged to. */
  readonly commit: string;
  readonly state: 'converged' | 'held' | 'unreachable';
  /** Of `last_error`; a beginning, since there is more than one way to be away. */
  readonly error: string | null;
  /** The version of Orders that is then served, where the state alone does not tell that it is over. */
  readonly orders?: string;
}

/** What a checker is told of a root; all else it finds out by itself. */
export interface Subject {
  readonly root: string;
  readonly ring: string;
  /** A repository that has every commit that was ever pushed. */
  readonly repository: string;
  /** The locks that may be served: of before, of what is tried, and of what has to come of it. */
  readonly allowed: readonly WantedLock[];
  readonly expected: Standing;
  readonly databaseUrl: string | undefined;
  /** The application's database; undefined where migrations are not run. */
  readonly migrationsUrl?: string | undefined;
  /** The version of Orders that the application beside has loaded; undefined where there is none. */
  readonly loaded?: (() => string | undefined) | undefined;
  /** What people asked on this root so far, in order: `hold orders 1.0.0`. */
  readonly asked?: readonly string[];
  /** A handler that has to have run for the ring: `onUpgrade 1.0.1`. */
  readonly handled?: string | undefined;
  /** What was damaged on purpose and need not be whole before it is repaired. */
  readonly damage?: Damage | undefined;
  /** Whether gc was told to keep nothing but what is current. */
  readonly keepsOne?: boolean;
  readonly memory: Memory;
}

export interface Damage {
  /** The generation that was current then. */
  readonly generation: number;
  readonly aliases: readonly string[];
  /** Whether `current` itself was taken away. */
  readonly current?: boolean;
}

/** What was seen of a root before: generations are removed, what they were must be known. */
export interface Memory {
  /** Numbers that `current` was seen to lead to, in order, no two the same in a row. */
  readonly seen: number[];
  readonly locks: Map<number, LockFile>;
  /** What was damaged on purpose: a generation that is not current need not be mended. */
  readonly damages: Set<Damage>;
}

export function newMemory(): Memory {
  return { seen: [], locks: new Map(), damages: new Set() };
}

/** `killed`: whatever was cut off; `settled`: after a pass that ended by itself. */
export type Moment = 'killed' | 'settled';

export interface Observation extends Subject {
  readonly moment: Moment;
  readonly served: Served | string | undefined;
}

/** One promise, looked at from outside: nothing here is imported from the program. */
export interface Check {
  readonly name: string;
  /** `settled` checks are of what is promised only once a restart has converged. */
  readonly moment: Moment;
  /** @returns what is wrong, in words */
  readonly run: (observed: Observation) => Promise<readonly string[]>;
}

/** A new promise gets a line here. */
export const checks: readonly Check[] = [
  { name: 'current stays', moment: 'killed', run: currentStays },
  { name: 'complete generation', moment: 'killed', run: completeGeneration },
  { name: 'nothing foreign visible', moment: 'killed', run: nothingForeign },
  { name: 'a committed lock', moment: 'killed', run: committedLock },
  { name: 'audit chain', moment: 'killed', run: auditChain },
  { name: 'audited before acknowledged', moment: 'killed', run: acknowledged },
  { name: 'one event a change', moment: 'settled', run: events },
  { name: 'one event an act', moment: 'settled', run: operatorEvents },
  { name: 'schema once', moment: 'killed', run: schemaOnce },
  { name: 'schema follows', moment: 'settled', run: schemaFollows },
  { name: 'handlers once', moment: 'settled', run: handlersOnce },
  { name: 'steps of the ring', moment: 'settled', run: ringSteps },
  { name: 'operations of the ring', moment: 'settled', run: ringOperations },
  { name: 'application follows', moment: 'settled', run: applicationFollows },
  { name: 'audit.sqlite', moment: 'settled', run: auditFile },
  { name: 'events in Postgres', moment: 'settled', run: databaseEvents },
  { name: 'operations in Postgres', moment: 'settled', run: databaseOperations },
  { name: 'active versions', moment: 'settled', run: activeVersions },
  { name: 'status in Postgres', moment: 'settled', run: databaseStatus },
  { name: 'status.json converged', moment: 'settled', run: statusConverged },
  { name: 'kept generations whole', moment: 'settled', run: keptGenerations },
  { name: 'retention', moment: 'settled', run: retention },
  { name: 'nothing left over', moment: 'settled', run: leftovers },
  { name: 'object database', moment: 'settled', run: objectDatabase },
];

export interface Violation {
  readonly check: string;
  readonly message: string;
}

/**
 * Runs every check of a moment.
 *
 * @param except names of checks that do not apply
 * @returns the violations, and how many checks ran
 */
export async function checkRoot(
  subject: Subject,
  moment: Moment,
  except: readonly string[] = [],
): Promise<{ readonly violations: readonly Violation[]; readonly ran: number }> {
  const served = await readServed(subject.root);
  const { memory } = subject;
  if (typeof served === 'object') {
    if (memory.seen.at(-1) !== served.number) memory.seen.push(served.number);
    memory.locks.set(served.number, served.lock);
  }
  if (subject.damage !== undefined) memory.damages.add(subject.damage);
  const observed: Observation = { ...subject, moment, served };
  const due = checks.filter(
    ({ name, moment: from }) =>
      (moment === 'settled' || from === 'killed') && !except.includes(name),
  );
  const found = await Promise.all(
    due.map(async ({ name, run }) =>
      (await run(observed).catch((error: Error) => [`the check failed: ${error.stack}`])).map(
        (message) => ({ check: name, message }),
      ),
    ),
  );
  return { violations: found.flat(), ran: due.length };
}

export function shown({ check, message }: Violation): string {
  return `${check}: ${message}`;
}
