import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a handler's runs wrote: `begin`, `end` of each, `overlap` where another was still alive. */
export interface HandlerRun {
  readonly what: 'begin' | 'end' | 'overlap' | 'failed';
  readonly pid: number;
  /** When the process began, in clock ticks since boot: ids of processes come around again. */
  readonly since: string;
  /** The reconciler that ran it. */
  readonly parent: number;
  readonly version: string;
  readonly operation: string;
}

/** A directory in which a handler's runs are told, and held back or failed at will. */
export class HandlerLog {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  runs(version?: string): HandlerRun[] {
    const path = join(this.directory, 'runs.jsonl');
    if (!existsSync(path)) return [];
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as HandlerRun)
      .filter((run) => version === undefined || run.version === version);
  }

  /** The story of a version's runs, such as `begin end`. */
  story(version: string): string {
    return this.runs(version)
      .map(({ what }) => what)
      .join(' ');
  }

  /** Runs that begin from now on do not end before letGo(). */
  hold(): void {
    writeFileSync(join(this.directory, 'hold'), '');
  }

  letGo(): void {
    rmSync(join(this.directory, 'hold'), { force: true });
  }

  /** The handler's code. It takes `ms`, and longer while it is held back; SIGTERM does not end it. */
  code(ms = 0): string {
    return `import { appendFileSync, existsSync, readFileSync } from 'node:fs';
const directory = ${JSON.stringify(this.directory)};
const log = directory + '/runs.jsonl';
const parent = process.ppid;
const aliveSince = ${aliveSince.toString()};
const since = aliveSince(process.pid);
const { toVersion: version, operationId: operation } = JSON.parse(readFileSync(0, 'utf8'));
const tell = (what) =>
  appendFileSync(log, JSON.stringify({ what, pid: process.pid, since, parent, version, operation }) + '\\n');
process.on('SIGTERM', () => {});
const before = existsSync(log) ? readFileSync(log, 'utf8').split('\\n').filter(Boolean) : [];
const others = before.map((line) => JSON.parse(line)).filter(({ pid }) => pid !== process.pid);
tell('begin');
if (others.some((run) => aliveSince(run.pid) === run.since)) tell('overlap');
const until = Date.now() + ${ms};
while (Date.now() < until || existsSync(directory + '/hold')) {
  await new Promise((resolve) => setTimeout(resolve, 20));
}
tell('end');
console.log('handled', version);
`;
  }
}

/** When a process began; undefined for one that has ended, also while nobody has waited for it. */
function aliveSince(pid: number): string | undefined {
  try {
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return state === 'Z' || state === 'X' ? undefined : fields[18];
  } catch {
    return undefined;
  }
}

export function isAlive(pid: number): boolean {
  return aliveSince(pid) !== undefined;
}
