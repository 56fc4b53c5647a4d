import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ends a process group when this process dies without a chance to do it: the group would go on, and
 * whoever takes the work over would run it beside it. A shell waits for the end of a pipe that only
 * this process holds; an image without one has no such guard (its container ends with this process).
 *
 * @returns what ends the guard
 */
export function guardGroup({ pid }: ChildProcess): () => void {
  if (pid === undefined) return () => {};
  const guard = spawn('/bin/sh', ['-c', `read -r _; kill -9 -${pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: {},
    // A signal to this process's group is not the guard's.
    detached: true,
  });
  guard.on('error', () => {});
  guard.stdin?.on('error', () => {});
  return () => {
    guard.kill('SIGKILL');
    guard.stdin?.destroy();
  };
}
