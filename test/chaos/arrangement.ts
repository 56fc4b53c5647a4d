import type { ChaosPlatform, ChaosRoot } from './chaos-ring.ts';
import type { Damage, Standing, WantedLock } from './checker.ts';
import { runFaulty, waitForGroups } from './faulty-process.ts';
import type { Random } from './random.ts';

/** What a phase prepared: from here on the program runs, and is killed. */
export interface Arrangement {
  /** Where the program has to get to. */
  readonly expected: Standing;
  readonly args?: readonly string[];
  /** Where it looks for the repository, if not where that is. */
  readonly repo?: string;
  readonly damage?: Damage;
  readonly keepsOne?: boolean;
  /** What may be served too: a commit that was cut off, and has been overtaken since. */
  readonly overtaken?: WantedLock;
  /** A handler that has to have run for the ring in the end: `onUpgrade 1.0.1`. */
  readonly handled?: string;
}

export interface Phase {
  readonly name: string;
  /** What it needs beside git; absent: nothing. */
  readonly needs?: 'application' | 'database';
  arrange(platform: ChaosPlatform, root: ChaosRoot, random: Random): Promise<Arrangement>;
}

export function converged(commit: string): Standing {
  return { lock: { commit }, commit, state: 'converged', error: null };
}

export function head(platform: ChaosPlatform['platform']): string {
  return platform.git('rev-parse', 'HEAD');
}

let releases = 0;

/** Never the same one twice: the bytes of a released version never change. */
export function nextVersion(): string {
  return `1.1.${++releases}`;
}

/** Where the phase before has led; nothing is to change of it. */
export function standingOf({ standing }: ChaosRoot): Standing {
  if (standing === undefined) throw new Error('nothing was installed yet');
  return standing;
}

/** A pass that nothing happens to. */
export async function passUnharmed({ root }: ChaosRoot, args: readonly string[]): Promise<void> {
  const { code, stderr, group } = await runFaulty({ cwd: root, root, args });
  await waitForGroups([group]);
  if (code !== 0) throw new Error(`a pass that nothing happened to ended with ${code}: ${stderr}`);
}
