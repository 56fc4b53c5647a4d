import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentFailed } from '../errors.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { diskFailed, isAbsent } from './disk-error.ts';
import type { StoreContext } from './layout.ts';

export const rootFileName = 'root.json';

/**
 * The layout that this version of ringlock makes and reads. A change that an older version could not live
 * with gives it another number; what only adds to a root does not.
 */
const layout = 1;

/** Whose a root is. */
export interface RootIdentity {
  readonly ring: string;
  /** Without credentials; null where it is not known, as of a seed that does not say. */
  readonly repository: string | null;
  readonly branch: string | null;
}

/** `<root>/root.json`. A newer version may change all but `layout`. */
interface RootFile extends Omit<RootIdentity, 'ring'> {
  readonly layout: number;
  /** Null until the root served something. */
  readonly ring: string | null;
  /** When the root came to be this ring's, repository's and branch's; RFC 3339, UTC. */
  readonly since: string;
}

/** What a root says of itself; undefined for one of a version that wrote none, or one that is damaged. */
export async function readRootFile(root: string): Promise<RootFile | undefined> {
  const path = join(root, rootFileName);
  try {
    const file = JSON.parse(await readFile(path, 'utf8')) as RootFile | null;
    return typeof file?.layout === 'number' ? file : undefined;
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError) return undefined;
    throw diskFailed(error, path);
  }
}

/**
 * Refuses what a newer version made and this one would damage, before anything is written.
 *
 * @throws RinglockError `newer-layout`
 */
export async function requireKnownLayout(root: string): Promise<void> {
  const file = await readRootFile(root);
  if (file === undefined || file.layout <= layout) return;
  throw environmentFailed(
    'newer-layout',
    `${root} has the layout ${file.layout}, which a newer ringlock made; this one reads up to ${layout}`,
    {
      hint: 'Run the newer version on it, or give this one an empty root. What is in it serves as it is.',
    },
  );
}

/** Writes whose a root is; nobody's yet without an identity. */
export async function writeRootFile(
  { root, now, fault }: Pick<StoreContext, 'root' | 'now' | 'fault'>,
  identity: RootIdentity | undefined,
): Promise<void> {
  const { ring = null, repository = null, branch = null } = identity ?? {};
  const since = now().toISOString();
  const file: RootFile = { layout, ring, repository, branch, since };
  const text = `${JSON.stringify(file, null, 2)}\n`;
  await writeFileAtomically(join(root, rootFileName), text, { mode: 0o644, fault });
}
