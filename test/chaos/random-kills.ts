import type { Arrangement, Phase } from './arrangement.ts';
import {
  type ChaosPlatform,
  type ChaosRoot,
  createChaosPlatform,
  createRoot,
  reconcileArguments,
  removeDirectory,
  removeRoot,
  type Surroundings,
  subjectOf,
} from './chaos-ring.ts';
import { checkRoot, type Moment, type Standing, shown, type WantedLock } from './checker.ts';
import { convergesFromNow } from './converged.ts';
import {
  type Fault,
  type FaultyEnd,
  runFaulty,
  type Step,
  waitForGroups,
} from './faulty-process.ts';
import { life } from './life.ts';
import { type Random, randomFrom } from './random.ts';
import { readAuditJournal } from './read-audit.ts';
import { readServed } from './read-root.ts';

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  readonly workers: number;
  /** No life begins another phase later than this many ms after the start. */
  readonly longestMs?: number;
  /** Only this phase is played after an installation. */
  readonly phase?: string;
  /** Told after each kill. */
  readonly onKill?: (kills: number, where: string) => void;
}

export interface KillReport {
  readonly kills: number;
  readonly byPhase: ReadonlyMap<string, number>;
  /** Place (`staging`, `audit`, `git server`, …) → kills that landed there. */
  readonly byPlace: ReadonlyMap<string, number>;
  /** Restarts that ran to their end after a kill. */
  readonly recoveries: number;
  readonly checks: number;
  readonly events: number;
  /** The first thing that was wrong; nothing goes on after it. */
  readonly failure: string | undefined;
}

interface Tally {
  kills: number;
  recoveries: number;
  checks: number;
  events: number;
  failure: string | undefined;
  readonly byPhase: Map<string, number>;
  readonly byPlace: Map<string, number>;
  /** Phase → how many steps and ms it takes when nothing stops it. */
  readonly lengths: Map<string, { readonly steps: number; readonly ms: number }>;
}

/** Kills reconcilers at random moments until there were enough kills, or a promise was broken. */
export async function killAtRandom(options: KillOptions): Promise<KillReport> {
  const tally: Tally = {
    kills: 0,
    recoveries: 0,
    checks: 0,
    events: 0,
    failure: undefined,
    byPhase: new Map(),
    byPlace: new Map(),
    lengths: new Map(),
  };
  const workers = Array.from({ length: options.workers }, (_, index) =>
    new Worker(options, tally, index).work(),
  );
  await Promise.all(workers);
  return tally;
}

class Broken extends Error {}

/** Of a phase that nobody has seen whole yet. */
const guessedLength = { steps: 500, ms: 1500 };

/** What lives have around them, in turn. */
const surroundings: readonly Surroundings[] = ['full', 'alone', 'bare'];

/** How a pass ends that got where it should. */
export const exitCodes: Readonly<Record<Standing['state'], number>> = {
  converged: 0,
  held: 1,
  unreachable: 3,
};

function mayPlay({ needs }: Phase, { application, databaseUrl }: ChaosRoot): boolean {
  if (needs === 'application') return application !== undefined;
  return needs === undefined || databaseUrl !== undefined;
}

class Worker {
  readonly #options: KillOptions;
  readonly #tally: Tally;
  readonly #random: Random;
  readonly #index: number;
  readonly #until: number;
  #lastKill = 'none';

  constructor(options: KillOptions, tally: Tally, index: number) {
    this.#options = options;
    this.#tally = tally;
    this.#index = index;
    this.#until = Date.now() + (options.longestMs ?? Number.MAX_SAFE_INTEGER);
    this.#random = randomFrom(options.seed * 1000 + index);
  }

  async work(): Promise<void> {
    try {
      for (let lives = 0; !this.#isOver(); lives++) await this.#live(lives);
    } catch (error) {
      this.#tally.failure ??=
        error instanceof Broken ? error.message : `the harness failed: ${(error as Error).stack}`;
    }
  }

  #isOver(): boolean {
    const { kills, failure } = this.#tally;
    return kills >= this.#options.kills || failure !== undefined || Date.now() > this.#until;
  }

  /** Each on a platform of its own, which is kept when something was wrong. */
  async #live(lives: number): Promise<void> {
    const turn = this.#index + lives;
    const around = surroundings[turn % surroundings.length] ?? 'full';
    const platform = await createChaosPlatform(around);
    const root = await createRoot(
      platform,
      `root-${this.#index}-${lives}`,
      turn % 2 === 0 ? 'symlink' : 'hardlink',
    );
    try {
      const { phase: only } = this.#options;
      for (const phase of life) {
        if (only !== undefined && ![only, 'install'].includes(phase.name)) continue;
        if (this.#isOver()) break;
        if (mayPlay(phase, root)) await this.#play(platform, root, phase);
      }
      this.#tally.events += (await readAuditJournal(root.root)).events.length;
      await removeRoot(root);
      removeDirectory(platform.directory);
    } finally {
      await root.close();
      await platform.close();
    }
  }

  /** Arranges a phase, kills in it, kills the recovery as often as chance wills, then settles. */
  async #play(platform: ChaosPlatform, root: ChaosRoot, phase: Phase): Promise<void> {
    const arrangement = await phase.arrange(platform, root, this.#random);
    const groups: number[] = [];
    let name = phase.name;
    for (let again = true; again && !this.#isOver(); again = this.#random.next() < 0.5) {
      const end = await this.#runKilled(platform, root, arrangement, name);
      groups.push(end.group);
      const where = placeOf(end, platform, root);
      const wasKilled = end.signal === 'SIGKILL';
      if (wasKilled) {
        const { operation = 'start-up', target = '' } = end.struck ?? end.steps.at(-1) ?? {};
        this.#lastKill = `in ${name}, at step ${end.steps.length}: ${operation} ${target}`;
      }
      await this.#check(platform, root, arrangement, 'killed', `${name}, ${where}`);
      if (!wasKilled) break;
      this.#count(name, where);
      name = 'recovery';
    }
    const settled = await runFaulty({
      cwd: root.root,
      root: root.root,
      args: this.#arguments(platform, root, arrangement, '--once'),
    });
    await waitForGroups([...groups, settled.group]);
    if (settled.code !== exitCodes[arrangement.expected.state]) {
      this.#fail(root, `${phase.name}: a restart ended with ${settled.code}`, [settled.stderr]);
    }
    this.#tally.recoveries += 1;
    await this.#check(platform, root, arrangement, 'settled', `${phase.name}, settled`);
    const served = await readServed(root.root);
    const { allowed } = subjectOf(platform, root, arrangement);
    const isShown = ({ commit }: WantedLock) =>
      typeof served === 'object' && served.facts.commit === commit;
    root.shown = allowed.findLast(isShown);
    root.standing = arrangement.expected;
  }

  #arguments(
    platform: ChaosPlatform,
    root: ChaosRoot,
    { args = [], repo = platform.repo }: Arrangement,
    ...mode: readonly string[]
  ): string[] {
    return reconcileArguments({ repo }, root, ...mode, ...args);
  }

  async #runKilled(
    platform: ChaosPlatform,
    root: ChaosRoot,
    arrangement: Arrangement,
    name: string,
  ): Promise<FaultyEnd> {
    const random = this.#random;
    const length = this.#tally.lengths.get(name) ?? guessedLength;
    const isWatch = random.next() < 0.25;
    const mode = isWatch ? ['--watch', '--interval', '200ms'] : ['--once'];
    const end = await runFaulty({
      cwd: root.root,
      root: root.root,
      args: this.#arguments(platform, root, arrangement, ...mode),
      ...chooseKill(random, length),
      ...(isWatch && { isDone: convergesFromNow(root, arrangement.expected) }),
    });
    if (end.hung) this.#fail(root, `${name}: the program hung`, [end.stderr]);
    if (end.signal !== 'SIGKILL') {
      this.#tally.lengths.set(name, { steps: end.steps.length, ms: end.ms });
      const code = isWatch ? 0 : exitCodes[arrangement.expected.state];
      if (end.code !== code) this.#fail(root, `${name} ended with ${end.code}`, [end.stderr]);
    }
    return end;
  }

  async #check(
    platform: ChaosPlatform,
    root: ChaosRoot,
    arrangement: Arrangement,
    moment: Moment,
    what: string,
  ): Promise<void> {
    // After settling, nothing is excused by what was damaged before, but a repair may be an event.
    const { violations, ran } = await checkRoot(subjectOf(platform, root, arrangement), moment);
    this.#tally.checks += ran;
    if (violations.length > 0) this.#fail(root, what, violations.map(shown));
  }

  #fail({ root }: ChaosRoot, what: string, words: readonly string[]): never {
    const { seed } = this.#options;
    const lines = [
      `seed ${seed}, worker ${this.#index}, after kill ${this.#tally.kills}: ${what}`,
      `  the last kill: ${this.#lastKill}`,
      ...words.map((text) => `  ${text}`),
      `  kept for a post-mortem: ${root}`,
    ];
    throw new Broken(lines.join('\n'));
  }

  #count(phase: string, where: string): void {
    const { byPhase, byPlace } = this.#tally;
    this.#tally.kills += 1;
    byPhase.set(phase, (byPhase.get(phase) ?? 0) + 1);
    byPlace.set(where, (byPlace.get(where) ?? 0) + 1);
    this.#options.onKill?.(this.#tally.kills, `${phase}, ${where}`);
  }
}

/** Most kills at a step of the program, some at a point in time, past the end a tenth of them. */
function chooseKill(
  random: Random,
  { steps, ms }: { readonly steps: number; readonly ms: number },
): { fault: Fault } | { killAfterMs: number } {
  if (random.next() < 0.15) return { killAfterMs: random.next() * ms * 1.1 };
  const at = random.between(1, Math.ceil(steps * 1.1));
  const how = random.pick(['kill', 'kill-during', 'kill-during', 'kill-torn'] as const);
  return { fault: { of: 'step', at, how, spinUs: random.between(0, 500) } };
}

/** Where in a root, or to whom on the network, the program was at work when it was killed. */
function placeOf({ struck, steps, signal }: FaultyEnd, { server }: ChaosPlatform, root: ChaosRoot) {
  const step: Step | undefined = struck ?? (signal === 'SIGKILL' ? steps.at(-1) : undefined);
  if (step === undefined) return signal === 'SIGKILL' ? 'start-up' : 'past the end';
  if (step.kind !== 'network') {
    const [first = '', second = ''] = step.target.split('/');
    const file = first === 'audit' ? `audit/${second}` : first;
    return file.replace(/^(.*?)\.?([a-z]+\.json)\.[0-9a-f]{12}\.tmp$/, '$1$2');
  }
  if (step.target === new URL(server.url).port) return 'git server';
  if (root.application !== undefined && step.target === new URL(root.application.url).port) {
    return 'application';
  }
  const database = root.databaseUrl ?? root.migrationsUrl;
  const isDatabase = database !== undefined && step.target === new URL(database).port;
  return isDatabase ? 'Postgres' : 'network';
}
