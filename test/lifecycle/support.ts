import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  defaultHandlerLimits,
  type HandlerCall,
  type HandlerLimits,
  type HandlerResult,
  runHandler,
} from '../../src/lifecycle/handler.ts';
import type { LifecycleHandler } from '../../src/repo/module-manifest.ts';
import { onEnd } from '../support/cleanup.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** A module's directory with one handler, executable unless it is JavaScript. */
export function moduleWith(t: TestContext, file: string, text: string, mode?: number): string {
  const directory = temporaryDirectory(t, 'module');
  mkdirSync(dirname(join(directory, file)), { recursive: true });
  writeFileSync(join(directory, file), text);
  chmodSync(join(directory, file), mode ?? (/\.[cm]?js$/.test(file) ? 0o644 : 0o755));
  return directory;
}

export function callOf(
  codePath: string,
  handler: string | LifecycleHandler,
  more: Partial<HandlerCall> = {},
): HandlerCall {
  return {
    event: 'onUpgrade',
    alias: 'orders',
    ring: 'edge',
    fromVersion: '1.0.0',
    toVersion: '1.1.0',
    codePath,
    sourcePath: codePath,
    manifest: { name: 'Orders', alias: 'orders', version: '1.1.0' },
    operationId: '0192f0c1-0000-7000-8000-000000000001',
    handler: typeof handler === 'string' ? { run: handler, once: 'ring' } : handler,
    ...more,
  };
}

export interface RunOptions {
  readonly limits?: Partial<HandlerLimits>;
  readonly signal?: AbortSignal;
  readonly environment?: NodeJS.ProcessEnv;
}

export function run(call: HandlerCall, options: RunOptions = {}): Promise<HandlerResult> {
  return runHandler(
    call,
    { ...defaultHandlerLimits, timeoutMs: 30_000, ...options.limits },
    options.signal ?? new AbortController().signal,
    options.environment ?? { PATH: process.env['PATH'], TMPDIR: process.env['TMPDIR'] },
  );
}

/** A server on a port of its own; what is open at the end of the test is closed. */
export async function serve(
  t: TestContext,
  listener: RequestListener,
): Promise<{ readonly url: string; readonly port: number; readonly server: Server }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, server };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The URL of a port where a connection neither comes about nor is refused: its queue is full. */
export async function fullListener(t: TestContext): Promise<string> {
  const text = `const server = require('node:net').createServer();
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child = spawn(process.execPath, ['-e', text], { stdio: ['ignore', 'pipe', 'inherit'] });
  onEnd(t, () => child.kill('SIGKILL'));
  const port = Number((await once(child.stdout, 'data'))[0]);
  for (let i = 0; i < 8; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    onEnd(t, () => socket.destroy());
  }
  return `http://127.0.0.1:${port}`;
}
