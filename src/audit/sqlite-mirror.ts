import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listSegments, readJournal, segmentStart } from './journal.ts';

/** Keeps `<root>/audit/audit.sqlite` up to date, by a short-lived child process after each change. */
export interface SqliteMirror {
  /** Asks for a new file; requests made while one is written become one more. */
  refresh(): void;
  /** Asks for a new file if the one there lacks events: a process before was killed early. */
  catchUp(): void;
  /** Waits for what was asked for; the journal stays the truth when writing it failed. */
  idle(): Promise<void>;
}

/**
 * @param directory `<root>/audit`
 * @param onFailure told, in words, that the file could not be written
 */
export function createSqliteMirror(
  directory: string,
  onFailure: (message: string) => void = () => {},
): SqliteMirror {
  let running: Promise<void> | undefined;
  let asked = false;
  const run = async (): Promise<void> => {
    while (asked) {
      asked = false;
      const failure = await writeInChild(directory);
      if (failure !== undefined) onFailure(failure);
    }
    running = undefined;
  };
  return {
    refresh: () => {
      asked = true;
      running ??= run();
    },
    catchUp: () => {
      running ??= isBehind(directory).then((behind) => {
        asked ||= behind;
        return run();
      });
    },
    idle: async () => {
      await running;
    },
  };
}

/**
 * Whether `audit.sqlite` is there with all its pages, by its header (SQLite file format, section 1.3:
 * page size at byte 16, pages at byte 28). A page that was changed inside is for --repair.
 */
export async function isSqliteWhole(directory: string): Promise<boolean> {
  try {
    const file = await open(join(directory, 'audit.sqlite'), 'r');
    try {
      const header = Buffer.alloc(32);
      await file.read(header, 0, 32, 0);
      const size = header.readUInt16BE(16) * header.readUInt32BE(28);
      return (
        header.toString('latin1', 0, 16) === 'SQLite format 3\0' &&
        (await file.stat()).size === size
      );
    } finally {
      await file.close();
    }
  } catch {
    return false;
  }
}

/** Unknown is no reason to write: the next change does. */
async function isBehind(directory: string): Promise<boolean> {
  try {
    return (await mirroredSequence(directory)) < (await lastSequence(directory));
  } catch {
    return false;
  }
}

/** The file's `user_version`, in bytes 60 to 63 of its header (SQLite file format, 1.3). */
async function mirroredSequence(directory: string): Promise<number> {
  const file = await open(join(directory, 'audit.sqlite')).catch(() => undefined);
  if (file === undefined) return 0;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 60);
    return bytesRead === 4 ? buffer.readUInt32BE() : 0;
  } finally {
    await file.close();
  }
}

async function lastSequence(directory: string): Promise<number> {
  for (const segment of (await listSegments(directory)).reverse()) {
    let last = 0;
    const start = await segmentStart(directory, segment);
    for await (const { event } of readJournal(directory, start)) last = event.sequence;
    if (last > 0) return last;
  }
  return 0;
}

/** @returns what went wrong, or undefined */
function writeInChild(directory: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(
      process.execPath,
      [...entryArguments(), 'audit', 'write-sqlite', '--root', dirname(directory)],
      // No environment but what starts a program: this child needs no secret.
      { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 },
    );
    let message = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      message = (message + chunk).slice(-2000);
    });
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) =>
      resolve(code === 0 ? undefined : message.trim() || `ended with ${signal ?? code}`),
    );
  });
}

/** This program's own entry: dist/cli.js from the bundle, src/cli.ts from the sources. */
function entryArguments(): string[] {
  const beside = ['./cli.js', '../cli.js']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path));
  if (beside !== undefined) return [beside];
  return [
    '--import',
    import.meta.resolve('tsx'),
    fileURLToPath(new URL('../cli.ts', import.meta.url)),
  ];
}
