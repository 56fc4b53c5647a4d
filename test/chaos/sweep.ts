import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import type { Arrangement } from './arrangement.ts';
import {
  type ChaosPlatform,
  type ChaosRoot,
  copyRoot,
  createChaosPlatform,
  reconcileArguments,
  removeDirectory,
  removeRoot,
  subjectOf,
} from './chaos-ring.ts';
import { checkRoot, shown } from './checker.ts';
import { convergesFromNow } from './converged.ts';
import { type Fault, type FaultyEnd, runFaulty, waitForGroups } from './faulty-process.ts';
import { exitCodes } from './random-kills.ts';
import { type Prepared, prepare, type Scenario, surroundingsOf } from './scenarios.ts';

export interface SweepOptions {
  readonly scenario: Scenario;
  /** Every so many steps one is taken. */
  readonly stride: number;
  /** Only these steps, both included. */
  readonly range?: { readonly first: number; readonly last: number };
  readonly workers: number;
  /** How its cases are run; all of them when undefined. */
  readonly ways?: readonly Way[];
  /** No case begins later than this many ms after the start. */
  readonly longestMs?: number;
  /** Told after each case: how many there were, and what was wrong in it. */
  readonly onCase?: (cases: number, failures: readonly string[]) => void;
}

export interface SweepReport {
  /** How many steps the scenario has when nothing goes wrong, and how many reads. */
  readonly steps: number;
  readonly reads: number;
  readonly cases: number;
  /** Cases whose fault really struck: work that runs side by side comes in no fixed order. */
  readonly struck: number;
  readonly checks: number;
  readonly failures: readonly string[];
}

/** How a case is run: a pass that is killed or fails, or a watch that has to get over it by itself. */
export const ways = ['kill', 'throw', 'throw in watch', 'throw at a read'] as const;
export type Way = (typeof ways)[number];

interface Case {
  readonly at: number;
  readonly way: Way;
}

/** What a watch leaves for the next start to remove, or for its next report to say. */
const leftForLater = ['nothing left over', 'object database', 'status in Postgres'];

/** Lets one step after another fail, and be the last, each on a copy of one root. */
export async function sweepSteps(options: SweepOptions): Promise<SweepReport> {
  const platform = await createChaosPlatform(surroundingsOf(options.scenario));
  const failures: string[] = [];
  let prepared: Prepared | undefined;
  try {
    prepared = await prepare(platform, options.scenario);
    const sweep = new Sweep(prepared);
    const { steps, reads } = await sweep.count();
    const cases = casesOf(options, steps, reads);
    let done = 0;
    const until = Date.now() + (options.longestMs ?? Number.MAX_SAFE_INTEGER);
    const work = async () => {
      for (let next = cases.pop(); next !== undefined; next = cases.pop()) {
        if (Date.now() > until) return;
        const wrong = await sweep.run(next);
        failures.push(...wrong);
        options.onCase?.(++done, wrong);
      }
    };
    await Promise.all(Array.from({ length: options.workers }, work));
    return { steps, reads, cases: done, struck: sweep.struck, checks: sweep.checks, failures };
  } finally {
    await prepared?.root.close();
    await platform.close();
    if (failures.length === 0) removeDirectory(platform.directory);
  }
}

/** With a stride each way begins at another step, so that together they look at more of them. */
function casesOf(
  { stride, range = { first: 1, last: Number.MAX_VALUE }, ways: wanted = ways }: SweepOptions,
  steps: number,
  reads: number,
): Case[] {
  return wanted.flatMap((way, index) => {
    const last = Math.min(way === 'throw at a read' ? reads : steps, range.last);
    const cases: Case[] = [];
    const start = range.first + Math.floor((stride * index) / wanted.length);
    for (let at = start; at <= last; at += stride) cases.push({ at, way });
    return cases;
  });
}

/** Everything is collected as soon as it may be, so that this is among the steps. */
function argumentsOf(
  platform: ChaosPlatform,
  root: ChaosRoot,
  ...mode: readonly string[]
): string[] {
  const gc = ['--keep-generations', '1', '--retain-for', '1ms'];
  return reconcileArguments(platform, root, ...mode, ...gc);
}

class Sweep {
  struck = 0;
  checks = 0;
  readonly #prepared: Prepared;

  constructor(prepared: Prepared) {
    this.#prepared = prepared;
  }

  async count(): Promise<Pick<SweepReport, 'steps' | 'reads'>> {
    const root = await this.#copy('counted');
    const end = await this.#run(root, '--once', undefined);
    await waitForGroups([end.group]);
    await removeRoot(root);
    return { steps: end.steps.length, reads: end.reads };
  }

  /** @returns what was wrong, in words */
  async run({ at, way }: Case): Promise<readonly string[]> {
    const root = await this.#copy(`${way.replaceAll(' ', '-')}-${at}`);
    const isWatch = way === 'throw in watch';
    const how = way === 'kill' ? 'kill' : 'throw';
    const of = way === 'throw at a read' ? 'read' : 'step';
    const end = await this.#run(root, isWatch ? '--watch' : '--once', { of, at, how });
    if (end.struck !== undefined) this.struck += 1;
    const words = await this.#check(
      root,
      'killed',
      way === 'kill' ? [] : wrongEnd(end, this.#prepared.arrangement),
    );
    if (isWatch && end.code === 0) {
      await waitForGroups([end.group]);
      words.push(...(await this.#check(root, 'settled', [], leftForLater)));
    }
    const healthy = await this.#run(root, '--once', undefined);
    await waitForGroups([end.group, healthy.group]);
    const isRight = healthy.code === exitCodes[this.#prepared.arrangement.expected.state];
    const wrong = isRight ? [] : [`a restart ended with ${healthy.code}: ${healthy.stderr}`];
    words.push(...(await this.#check(root, 'settled', wrong)));
    if (words.length === 0) {
      await removeRoot(root);
      return [];
    }
    const { kind, operation, target } = end.struck ?? {};
    const what = `${way} at step ${at} (${kind} ${operation} ${target})`;
    return [[what, ...words, `kept: ${root.root}`].join('\n  ')];
  }

  async #check(
    root: ChaosRoot,
    moment: 'killed' | 'settled',
    words: readonly string[],
    except: readonly string[] = [],
  ): Promise<string[]> {
    const { platform, arrangement } = this.#prepared;
    const subject = subjectOf(platform, root, arrangement);
    const { violations, ran } = await checkRoot(subject, moment, except);
    this.checks += ran;
    return [...words, ...violations.map((violation) => `${moment}: ${shown(violation)}`)];
  }

  #run(root: ChaosRoot, mode: '--once' | '--watch', fault: Fault | undefined): Promise<FaultyEnd> {
    const { platform, arrangement } = this.#prepared;
    const interval = mode === '--watch' ? ['--interval', '200ms'] : [];
    return runFaulty({
      cwd: root.root,
      root: root.root,
      args: argumentsOf(platform, root, mode, ...interval),
      ...(fault && { fault }),
      ...(mode === '--watch' && { isDone: convergesFromNow(root, arrangement.expected) }),
    });
  }

  async #copy(name: string): Promise<ChaosRoot> {
    const { root, platform } = this.#prepared;
    return copyRoot(root, join(platform.directory, name), copyDatabase);
  }
}

/** One step that fails is the environment's failure, told without a stack trace, or got over. */
function wrongEnd({ code, signal, stderr, hung }: FaultyEnd, { expected }: Arrangement): string[] {
  const words: string[] = [];
  const right = [0, 3, exitCodes[expected.state]];
  if (hung) words.push('the program hung');
  else if (code === null || !right.includes(code))
    words.push(`it ended with ${code ?? signal}: ${stderr}`);
  if (/\n\s+at /.test(stderr)) words.push(`it printed a stack trace: ${stderr}`);
  return words;
}

/** PostgreSQL copies a database that nobody is connected to. */
async function copyDatabase(url: string): Promise<string> {
  const name = `t_${process.pid}_${randomBytes(6).toString('hex')}`;
  const server = new URL(url);
  const template = server.pathname.slice(1);
  server.pathname = '/postgres';
  const client = new pg.Client({ connectionString: server.href });
  await client.connect();
  try {
    await client.query(`create database ${name} template ${template}`);
  } finally {
    await client.end();
  }
  server.pathname = `/${name}`;
  return server.href;
}
