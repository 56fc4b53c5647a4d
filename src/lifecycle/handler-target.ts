import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { type RinglockError, refused } from '../errors.ts';
import type { LifecycleEvent, LifecycleHandler } from '../repo/module-manifest.ts';
import { diskFailed } from '../store/disk-error.ts';
import { harmless } from './handler-output.ts';

export interface NamedHandler {
  readonly event: LifecycleEvent;
  readonly alias: string;
  /** The directory of the version whose code runs. */
  readonly codePath: string;
  readonly handler: LifecycleHandler;
}

export interface HandlerProgram {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/**
 * The URL of a handler that the application answers; undefined for a file of the module.
 *
 * @throws RinglockError `handler-refused` for a URL that leaves the pod
 */
export function handlerUrl(call: NamedHandler): URL | undefined {
  const { run } = call.handler;
  if (!/^[a-z][a-z0-9+.-]*:/i.test(run)) return undefined;
  const url = URL.canParse(run) ? new URL(run) : undefined;
  if (url?.protocol !== 'http:' || !loopback.has(url.hostname)) {
    throw refusal(call, 'is no address in the pod');
  }
  if (url.username !== '' || url.password !== '') {
    throw refusal(call, 'carries credentials, and a module is no place for them');
  }
  return url;
}

const loopback: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]']);

/**
 * The program of a handler that is a file, as it is on the disk of the version whose code runs.
 *
 * @throws RinglockError `handler-refused` for a path that leaves the module or cannot be executed,
 *   `handler-missing`
 */
export async function handlerProgram(call: NamedHandler): Promise<HandlerProgram> {
  const { run } = call.handler;
  const segments = run.split('/');
  if (run.startsWith('/') || segments.includes('..') || /[\\\0]/.test(run) || run === '') {
    throw refusal(call, 'is no path inside the module');
  }
  const directory = await realPath(call, call.codePath);
  const file = await realPath(call, join(directory, run));
  // Bytes are digested without symbolic links, but a disk can be tampered with.
  if (!file.startsWith(`${directory}${sep}`)) throw refusal(call, 'leads out of the module');
  if (!(await stat(file)).isFile()) throw refusal(call, 'is no file');
  if (nodeExtensions.has(extname(file))) {
    return { file: process.execPath, args: [file], cwd: directory };
  }
  try {
    await access(file, constants.X_OK);
  } catch {
    throw refusal(call, 'is not executable', `Commit it with its mode: git add --chmod=+x ${run}`);
  }
  return { file, args: [], cwd: directory };
}

const nodeExtensions: ReadonlySet<string> = new Set(['.mjs', '.js', '.cjs']);

const notThere: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

async function realPath(call: NamedHandler, path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    // A disk that fails says nothing of the version.
    if (!notThere.has(code)) throw diskFailed(error, path);
    throw refused(
      'handler-missing',
      `${call.event} of ${call.alias} names ${harmless(call.handler.run)}, which is not in ${call.codePath} (${code})`,
      {
        hint: 'Check "lifecycle" in its module.json, and that "distribution" does not exclude the file.',
        cause: error,
        details: { module: call.alias, event: call.event },
      },
    );
  }
}

function refusal(call: NamedHandler, why: string, hint?: string): RinglockError {
  return refused(
    'handler-refused',
    `${call.event} of ${call.alias} names ${harmless(JSON.stringify(call.handler.run))}, which ${why}`,
    {
      hint:
        hint ??
        'A handler is a file of the module, such as lifecycle/on-upgrade.mjs, or an http://127.0.0.1… URL.',
      details: { module: call.alias, event: call.event },
    },
  );
}
