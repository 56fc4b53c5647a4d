import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { freePort } from '../test/support/postgres.ts';

/** One reconciler process, standing for the pod of a ring. */
export interface RingPod {
  readonly ring: string;
  readonly root: string;
  /** Where its health server answers. */
  readonly url: string;
  readonly process: ChildProcess;
}

/** What `/api/health` of a pod says, as far as the demo reads it. */
interface PodHealth {
  readonly state: string;
  readonly converged_commit: string | null;
  readonly generation: number | null;
  readonly modules: Readonly<Record<string, string>>;
}

/** @param environment with RING_NAME and DATABASE_URL, as a pod has them */
export async function startPod(
  pod: { cliPath: string; ring: string; root: string; repositoryUrl: string },
  environment: NodeJS.ProcessEnv,
): Promise<RingPod> {
  mkdirSync(pod.root, { recursive: true });
  const listen = `127.0.0.1:${await freePort()}`;
  const args = [
    ...['reconcile', '--watch', '--repo', pod.repositoryUrl, '--root', pod.root],
    ...['--interval', '300ms', '--content-check', '1s', '--listen', listen],
    ...['--replica', `${pod.ring}-0`],
  ];
  const child = spawn(process.execPath, [pod.cliPath, ...args], {
    env: environment,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  return { ring: pod.ring, root: pod.root, url: `http://${listen}`, process: child };
}

export async function stopPod({ process: child }: RingPod): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGTERM');
  await ended;
}

/** What a pod's health endpoint says; undefined while it does not answer. */
export async function podHealth({ url }: RingPod): Promise<PodHealth | undefined> {
  try {
    return (await (await fetch(`${url}/api/health`)).json()) as PodHealth;
  } catch {
    return undefined;
  }
}

/** Polls until a pod is as wanted or the deadline passes; gives what it last said. */
export async function waitForPod(
  pod: RingPod,
  wanted: (health: PodHealth) => boolean,
  deadlineMs = 10_000,
): Promise<{ reached: boolean; health: PodHealth | undefined; ms: number }> {
  const startedAt = performance.now();
  for (;;) {
    const health = await podHealth(pod);
    const ms = Math.round(performance.now() - startedAt);
    if (health !== undefined && wanted(health)) return { reached: true, health, ms };
    if (ms > deadlineMs) return { reached: false, health, ms };
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
