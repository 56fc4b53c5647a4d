import { createHash } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed, RinglockError } from '../errors.ts';
import type { Incompatibility } from '../repo/graph.ts';
import { formatLock, type Lock, parseLock } from '../repo/lock.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import {
  currentPath,
  generationFacts,
  generationNumber,
  generationPath,
  generationsPath,
  type LinkMode,
} from './layout.ts';

/** One complete, numbered set of modules. */
export interface Generation {
  readonly number: number;
  /** Absolute. */
  readonly path: string;
  /** The effective lock: what the generation really is. */
  readonly lock: Lock;
  /** `sha256:<hex>` of `.ringlock/lock.json`. */
  readonly lockDigest: string;
  readonly link: LinkMode;
  readonly commit: string | null;
  readonly operationId: string | null;
  readonly repository: string | null;
  readonly branch: string | null;
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  /** What was left out of the committed lock because it cannot run; see `policy.incompatible`. */
  readonly refused: readonly Incompatibility[];
}

/** `.ringlock/generation.json`, part of the contract with applications. */
interface GenerationFile {
  readonly format: 1;
  readonly generation: number;
  readonly ring: string;
  readonly platform: string;
  readonly commit: string | null;
  readonly lock_digest: string;
  readonly operation_id: string | null;
  readonly repository: string | null;
  readonly branch: string | null;
  readonly link: LinkMode;
  readonly created_at: string;
  /** Absent where nothing was left out. */
  readonly refused?: readonly Incompatibility[];
}

/**
 * What `current` shows; undefined when it shows nothing that can be read as a generation. Needs no
 * ownership, so that any command may look.
 *
 * @throws RinglockError `foreign-current`, `newer-lock-version`
 */
export async function readCurrentGeneration(root: string): Promise<Generation | undefined> {
  const number = await readCurrentLink(root);
  return number === undefined ? undefined : readGeneration(root, number);
}

/**
 * The number that `current` names, whether or not it is there; undefined without a `current`.
 *
 * @throws RinglockError `foreign-current` when it is not a link to a generation of this root
 */
export async function readCurrentLink(root: string): Promise<number | undefined> {
  const path = currentPath(root);
  let target: string;
  try {
    target = await readlink(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if ((error as NodeJS.ErrnoException).code === 'EINVAL')
      throw foreignCurrent(path, 'not a link at all');
    throw diskFailed(error, path);
  }
  const name = /^(?:\.\/)?generations\/([^/]+)\/?$/.exec(target)?.[1];
  const number = name === undefined ? undefined : generationNumber(name);
  if (number === undefined) throw foreignCurrent(path, `a link to ${target}`);
  return number;
}

function foreignCurrent(path: string, found: string): RinglockError {
  return environmentFailed(
    'foreign-current',
    `${path} is ${found}, expected a link to generations/NNNNNN`,
    {
      hint: 'Something else made it, and ringlock replaces only its own links: look at it, then ringlock reconcile --repair moves it aside and shows the newest good generation.',
    },
  );
}

/** A generation by its number; undefined when it is not there or not as it was built. */
export async function readGeneration(
  root: string,
  number: number,
): Promise<Generation | undefined> {
  const path = generationPath(root, number);
  try {
    const facts = JSON.parse(await readFile(generationFile(path), 'utf8')) as GenerationFile;
    const text = await readFile(generationLockFile(path), 'utf8');
    if (!isFactsOf(facts, number) || facts.lock_digest !== digestOf(text)) return undefined;
    return {
      number,
      path,
      lock: parseLock(text, facts.ring, generationLockFile(path)),
      lockDigest: facts.lock_digest,
      link: facts.link,
      commit: facts.commit,
      operationId: facts.operation_id,
      repository: facts.repository,
      branch: facts.branch,
      createdAt: facts.created_at,
      refused: facts.refused ?? [],
    };
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError) return undefined;
    if (error instanceof RinglockError && error.code !== 'newer-lock-version') return undefined;
    throw diskFailed(error, path);
  }
}

/** JSON may be whole and say something else altogether. */
function isFactsOf(facts: GenerationFile | null, number: number): boolean {
  return (
    facts?.generation === number &&
    typeof facts.ring === 'string' &&
    (facts.link === 'symlink' || facts.link === 'hardlink') &&
    [facts.commit, facts.operation_id, facts.repository, facts.branch].every(
      (fact) => fact === null || typeof fact === 'string',
    ) &&
    typeof facts.created_at === 'string' &&
    (facts.refused === undefined || Array.isArray(facts.refused))
  );
}

/** The numbers of all directories of generations, ascending; a foreign name is passed over. */
export async function listGenerationNumbers(root: string): Promise<number[]> {
  const names = await readdir(generationsPath(root));
  return names.flatMap((name) => generationNumber(name) ?? []).sort((a, b) => a - b);
}

/** The two contract files of a generation, name below `.ringlock/` → text. */
export function generationFiles(generation: Omit<Generation, 'path'>): ReadonlyMap<string, string> {
  const { lock } = generation;
  const facts: GenerationFile = {
    format: 1,
    generation: generation.number,
    ring: lock.ring,
    platform: lock.platform,
    commit: generation.commit,
    lock_digest: generation.lockDigest,
    operation_id: generation.operationId,
    repository: generation.repository,
    branch: generation.branch,
    link: generation.link,
    created_at: generation.createdAt,
    ...(generation.refused.length > 0 && { refused: generation.refused }),
  };
  return new Map([
    ['lock.json', formatLock(lock)],
    ['generation.json', `${JSON.stringify(facts, null, 2)}\n`],
  ]);
}

/** `sha256:<hex>` of a lock's one byte form. */
export function lockDigest(lock: Lock): string {
  return digestOf(formatLock(lock));
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function generationFile(path: string): string {
  return join(path, generationFacts, 'generation.json');
}

/** The effective lock of the generation at a path. */
export function generationLockFile(path: string): string {
  return join(path, generationFacts, 'lock.json');
}
