import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where build.mjs puts it: beside the bundle's folder of chunks. */
const script = join(
  import.meta.dirname,
  import.meta.dirname.endsWith('chunks') ? '..' : '.',
  'pid1.sh',
);

/** Node 22.15 and later. */
type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

/**
 * As the first process of a container, becomes a shell that starts this program again as its child: node
 * waits for its own children only, and what a handler leaves behind would stay in the process table.
 *
 * @returns what to say when that is not possible here; undefined when this is not the first process
 */
export function becomeReaper(): string | undefined {
  if (process.pid !== 1) return undefined;
  const { execve } = process as { execve?: Execve };
  const shell = '/bin/sh';
  if (execve === undefined || !existsSync(shell) || !existsSync(script)) {
    return `as the first process of its container it does not reap what handlers leave behind: start it with ${script} before it, with tini, or in a pod with shareProcessNamespace`;
  }
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  return execve.call(process, shell, [shell, script, ...again], process.env);
}
