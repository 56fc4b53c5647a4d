import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface LockedModule {
  readonly version: string;
  readonly directory: string;
  readonly sha256: string;
  readonly file_count: number;
}

/** A lock file, as far as the checker looks at it. */
export interface LockFile {
  readonly ring: string;
  readonly modules: Readonly<Record<string, LockedModule>>;
}

export interface GenerationFile {
  readonly generation: number;
  readonly commit: string | null;
  readonly lock_digest: string;
}

/** What `current` leads to, as a reader without any knowledge of ringlock finds it. */
export interface Served {
  readonly number: number;
  /** Absolute path of the generation. */
  readonly path: string;
  readonly lockText: string;
  readonly lock: LockFile;
  readonly facts: GenerationFile;
}

/** Undefined without a `current`; in words what is wrong with one that leads to no generation. */
export async function readServed(root: string): Promise<Served | string | undefined> {
  let target: string;
  try {
    target = await readlink(join(root, 'current'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return `current cannot be read: ${(error as Error).message}`;
  }
  const number = /^generations\/(\d{6,})$/.exec(target)?.[1];
  if (number === undefined) return `current leads to ${target}`;
  const path = join(root, target);
  try {
    const lockText = await readFile(join(path, '.ringlock/lock.json'), 'utf8');
    const facts = await readFile(join(path, '.ringlock/generation.json'), 'utf8');
    return {
      number: Number(number),
      path,
      lockText,
      lock: JSON.parse(lockText) as LockFile,
      facts: JSON.parse(facts) as GenerationFile,
    };
  } catch (error) {
    return `generation ${number} cannot be read: ${(error as Error).message}`;
  }
}

/** A directory's content digest by coreutils: the pipeline of the format's documentation. */
export async function digestByCoreutils(directory: string): Promise<string> {
  const pipeline = `find . -type f | cut -c3- | LC_ALL=C sort | xargs -r -d '\\n' sha256sum -- | sha256sum`;
  return `sha256:${(await shell(pipeline, directory)).slice(0, 64)}`;
}

export async function sha256sum(path: string): Promise<string> {
  return `sha256:${(await shell('sha256sum', undefined, ['--', path])).slice(0, 64)}`;
}

/** Everything below a directory that is neither a file nor a directory. */
export async function findOthers(directory: string): Promise<string> {
  return (await shell(`find . ! -type f ! -type d`, directory)).trim();
}

export async function git(repository: string, ...args: string[]): Promise<string> {
  return shell('git', undefined, ['-C', repository, ...args]);
}

async function shell(
  command: string,
  cwd: string | undefined,
  args?: readonly string[],
): Promise<string> {
  const options = { cwd, maxBuffer: 1 << 26 };
  const { stdout } =
    args === undefined
      ? await execute('sh', ['-c', command], options)
      : await execute(command, [...args], options);
  return stdout;
}
