import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { onEnd } from './support/cleanup.ts';
import { cliPath } from './support/cli.ts';
import { deploy, statusIfAny } from './support/deploy.ts';
import { createPlatform } from './support/platform.ts';
import { gitEnvironment } from './support/repository.ts';
import { temporaryDirectory } from './support/temporary.ts';
import { waitUntil } from './support/wait-until.ts';

const pid1 = join(cliPath, '../pid1.sh');
const inNamespace = ['--pid', '--fork', '--mount-proc', '--kill-child'];

/** The first process of a PID namespace of its own, as in a container. */
interface FirstProcess {
  readonly pid: number;
  readonly output: () => string;
  readonly exitCode: Promise<number | null>;
}

async function startFirstProcess(
  t: TestContext,
  command: readonly string[],
): Promise<FirstProcess | undefined> {
  const tried = spawnSync('unshare', [...inNamespace, 'true'], { encoding: 'utf8' });
  if (tried.status !== 0) {
    const reason = `no PID namespace can be made here: ${tried.error?.message ?? tried.stderr}`;
    assert.notEqual(process.env['RINGLOCK_TEST_REQUIRE_ALL'], '1', reason);
    t.skip(reason);
    return undefined;
  }
  const child: ChildProcess = spawn('unshare', [...inNamespace, ...command], {
    env: { ...gitEnvironment, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  }
  const exitCode = new Promise<number | null>((resolve) => child.once('close', resolve));
  onEnd(t, async () => {
    child.kill('SIGKILL');
    await exitCode;
  });
  const { pid } = await waitUntil('it has started', () => childrenOf(child.pid ?? 0)[0]);
  return { pid, output: () => output, exitCode };
}

/** proc(5): the state follows the name, the parent the state. */
function childrenOf(parent: number): { readonly pid: number; readonly state: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state = '', ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(ppid) === parent ? [{ pid: Number(name), state }] : [];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
}

/** Whether the first process has one child, its program, and has waited for all others. */
function hasOnlyItsProgram({ pid }: FirstProcess): boolean {
  const children = childrenOf(pid);
  return children.length === 1 && children.every(({ state }) => state !== 'Z');
}

/** Leaves a process behind that nobody waits for. */
const leaveOrphan = `
  const { spawn } = await import('node:child_process');
  const shell = spawn('/bin/sh', ['-c', 'sleep 0.01 & exit'], { stdio: 'ignore' });
  await new Promise((resolve) => shell.once('exit', resolve));`;

describe('pid1.sh as the first process of a container', { concurrency: 2 }, () => {
  it('passes signals on, reaps what was orphaned, and ends with the exit code', async (t) => {
    const program = `${leaveOrphan}
      process.on('SIGHUP', () => console.log('hung up'));
      process.on('SIGINT', () => console.log('interrupted'));
      process.on('SIGTERM', () => process.exit(7));
      setInterval(() => {}, 1e6);
      console.log('ready');`;
    const node = [process.execPath, '--input-type=module', '-e', program];
    const first = await startFirstProcess(t, [pid1, ...node]);
    if (first === undefined) return;
    await waitUntil('it is ready', () => first.output().includes('ready'));
    process.kill(first.pid, 'SIGHUP');
    await waitUntil('SIGHUP has come', () => first.output().includes('hung up'));
    process.kill(first.pid, 'SIGINT');
    await waitUntil('SIGINT has come', () => first.output().includes('interrupted'));
    await waitUntil('nothing but the program is left', () => hasOnlyItsProgram(first));
    process.kill(first.pid, 'SIGTERM');
    assert.equal(await first.exitCode, 7);
  });

  it('keeps the process table clean of what a handler leaves behind', async (t) => {
    const leave = `const { spawn } = await import('node:child_process');
spawn('sleep', ['600'], { stdio: 'ignore' }).unref();\n`;
    const platform = createPlatform(t, { rings: ['canary'] });
    platform.write({ 'modules/MobileApp/lifecycle/leave.mjs': leave });
    platform.setVersion('MobileApp', '0.3.1', {
      lifecycle: { onInstall: { run: 'lifecycle/leave.mjs' } },
    });
    const commit = deploy(platform, 'Leave a process behind');
    const root = temporaryDirectory(t, 'root');
    const where = ['--repo', platform.path, '--root', root, '--ring', 'canary'];
    const command = [process.execPath, cliPath, 'reconcile', '--watch', ...where];
    const first = await startFirstProcess(t, [pid1, ...command]);
    if (first === undefined) return;
    await waitUntil('it is converged', () => statusIfAny(root)?.converged_commit === commit);
    await waitUntil('only the reconciler is left', () => hasOnlyItsProgram(first));
    process.kill(first.pid, 'SIGTERM');
    assert.equal(await first.exitCode, 0, first.output());
  });
});
