import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cliPath } from './cli.ts';
import { gitEnvironment } from './repository.ts';
import { waitUntil } from './wait-until.ts';

/** Has a command file its request in a root whose reconciler does not run: nobody takes it yet. */
export async function fileRequest(root: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [cliPath, ...args, '--local', '--root', root], {
    cwd: root,
    env: gitEnvironment,
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await waitUntil('a request is filed', () => isFiled(join(root, 'requests')));
  child.kill('SIGKILL');
  await ended;
}

function isFiled(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).some((name) => /^\d.*\.json$/.test(name));
}
