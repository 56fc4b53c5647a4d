import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Repair, setAside } from '../store/set-aside.ts';
import { findDamagedPacks } from './pack-health.ts';

/**
 * Compares every pack of a root's `repo.git` with its checksums; a damaged database is moved aside whole,
 * and a new one begins with what the old one's refs say: without them a ring would follow a rewound
 * branch.
 */
export async function repairDatabase(root: string, now: Date): Promise<Repair | undefined> {
  const gitdir = join(root, 'repo.git');
  const damage = await findDamage(gitdir);
  if (damage === undefined) return undefined;
  const refs = await readRefs(gitdir);
  const moved_to = await setAside(root, 'repo.git', now);
  for (const [name, text] of refs) {
    await mkdir(dirname(join(gitdir, name)), { recursive: true });
    await writeFile(join(gitdir, name), text);
  }
  return {
    path: 'repo.git',
    found: damage,
    did: 'moved aside; what is needed is fetched again',
    moved_to,
  };
}

async function findDamage(gitdir: string): Promise<string | undefined> {
  const names = await readdir(gitdir).catch(() => undefined);
  if (names === undefined || names.length === 0) return undefined;
  for (const [name, what] of [
    ['HEAD', 'its HEAD is gone'],
    ['objects', 'its objects are gone'],
    ['refs', 'its refs are gone'],
  ] as const) {
    if (!names.includes(name)) return what;
  }
  const [pack, ...more] = await findDamagedPacks(gitdir);
  if (pack === undefined) return undefined;
  const others = more.length === 0 ? '' : `, and ${more.length} more are damaged`;
  return `${pack.name}: ${pack.reason}${others}`;
}

/** Only ringlock's own, and only what names a commit. */
async function readRefs(gitdir: string): Promise<Map<string, string>> {
  const below = 'refs/ringlock';
  const names = await readdir(join(gitdir, below), { recursive: true }).catch(() => []);
  const refs = new Map<string, string>();
  for (const name of names) {
    const text = await readFile(join(gitdir, below, name), 'utf8').catch(() => '');
    if (/^[0-9a-f]{40}\n$/.test(text)) refs.set(join(below, name), text);
  }
  return refs;
}
