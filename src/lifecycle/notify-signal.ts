import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { environmentFailed, type RinglockError } from '../errors.ts';
import { harmless } from './handler-output.ts';

export interface SignalTarget {
  readonly pidFile: string;
  readonly signal: NodeJS.Signals;
}

/**
 * Sends a signal to the process that a pid file names.
 *
 * @returns what was done, in words
 * @throws RinglockError `notify-failed`
 */
export async function sendSignal({ pidFile, signal }: SignalTarget): Promise<string> {
  const text = await readStart(pidFile, signal);
  const fail = (why: string, hint?: string) => failed(signal, `${pidFile} ${why}`, hint);
  const found = harmless(JSON.stringify(text));
  if (!/^[+-]?\d{1,10}$/.test(text)) throw fail(`holds ${found}, expected a process id`);
  const pid = Number(text);
  // 0 and below are groups of processes, 1 ends the container.
  if (pid <= 1) throw fail(`holds ${found}, expected the application's process id, above 1`);
  if (pid === process.pid) {
    throw fail(
      `holds ${pid}, which is the reconciler itself`,
      'Let the pod share its process namespace (shareProcessNamespace: true).',
    );
  }
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ESRCH') throw fail(`holds ${pid}, and there is no such process`);
    if (code === 'EPERM') {
      throw fail(
        `holds ${pid}, a process that this user may not signal`,
        'Run both containers as the same user.',
      );
    }
    throw fail(`holds ${pid}: ${code}`);
  }
  return `sent ${signal} to process ${pid}`;
}

/** Enough for any process id; what is longer is none. */
async function readStart(pidFile: string, signal: NodeJS.Signals): Promise<string> {
  try {
    // A named pipe there would otherwise be waited for.
    const handle = await open(pidFile, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) throw Object.assign(new Error(), { code: 'no file' });
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0);
      return buffer.toString('latin1', 0, bytesRead).trim();
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ENOENT'
      ? failed(signal, `${pidFile} does not exist`)
      : failed(signal, `${pidFile} cannot be read: ${code}`);
  }
}

function failed(signal: NodeJS.Signals, why: string, hint?: string): RinglockError {
  return environmentFailed('notify-failed', `cannot notify by ${signal}: ${why}`, {
    hint: hint ?? 'The application has to write its process id there, on a volume both mount.',
    details: { kind: 'signal' },
  });
}
