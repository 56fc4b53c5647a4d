import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed } from '../errors.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import type { FaultPoint } from './fault-point.ts';
import { generationFacts } from './layout.ts';
import type { VersionPin } from './version-store.ts';

/** A module directory that was found as pinned when it was last digested. */
export interface PlacedModule extends VersionPin {
  /** See treeFingerprint(). */
  readonly fingerprint: string;
}

/** What a switch does to one directory. */
export interface Move {
  /** Relative to the modules directory. */
  readonly directory: string;
  /** What is there before: the content digest of a directory, `other`, or null for nothing. */
  readonly before: string | null;
  /** What is to be there; null for nothing. */
  readonly after: VersionPin | null;
}

/** A switch that is neither finished nor restored; written before its first move. */
export interface PendingSwitch {
  /** Its directory below work/. */
  readonly id: string;
  /** What `current` showed before; null when nothing. */
  readonly from: number | null;
  readonly to: number;
  /** In order; the position is the name of each copy in the switch's directory. */
  readonly moves: readonly Move[];
}

export interface InPlaceState {
  /** Directory → what we know to be there: installed or adopted by us, nobody else's. */
  readonly modules: ReadonlyMap<string, PlacedModule>;
  readonly pending: PendingSwitch | null;
}

interface StateFile {
  readonly format: 1;
  readonly modules: Readonly<Record<string, PlacedModule>>;
  readonly pending: PendingSwitch | null;
}

/** The only names in a modules directory that are ringlock's own, beside the modules. */
export const ownDirectory = (modulesDirectory: string) => join(modulesDirectory, generationFacts);
export const workPath = (modulesDirectory: string) => join(ownDirectory(modulesDirectory), 'work');
const statePath = (modulesDirectory: string) => join(ownDirectory(modulesDirectory), 'state.json');

/** @throws RinglockError `modules-dir-state-damaged`, `disk-failed` and its like */
export async function readInPlaceState(modulesDirectory: string): Promise<InPlaceState> {
  const path = statePath(modulesDirectory);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return { modules: new Map(), pending: null };
    throw diskFailed(error, path);
  }
  const file = parse(text);
  if (file !== undefined) {
    return { modules: new Map(Object.entries(file.modules)), pending: file.pending };
  }
  // Without it nobody knows which backup belongs where, so nothing may be deleted.
  throw environmentFailed(
    'modules-dir-state-damaged',
    `${path} cannot be read, expected what ringlock wrote there, format 1`,
    {
      hint: `If ${workPath(modulesDirectory)} is empty, move the file away: each module is then compared anew. Else look there first: it holds the modules that a killed switch took away.`,
    },
  );
}

function parse(text: string): StateFile | undefined {
  try {
    const file = JSON.parse(text) as StateFile;
    const isKnown =
      file.format === 1 &&
      typeof file.modules === 'object' &&
      file.modules !== null &&
      (file.pending === null || Array.isArray(file.pending.moves));
    return isKnown ? file : undefined;
  } catch {
    return undefined;
  }
}

export async function writeInPlaceState(
  modulesDirectory: string,
  { modules, pending }: InPlaceState,
  fault: FaultPoint,
): Promise<void> {
  const sorted = [...modules].sort(([a], [b]) => (a < b ? -1 : 1));
  const file: StateFile = { format: 1, modules: Object.fromEntries(sorted), pending };
  const text = `${JSON.stringify(file, null, 2)}\n`;
  await writeFileAtomically(statePath(modulesDirectory), text, { mode: 0o644, fault });
}
