import { lockFile } from '../repo/names.ts';
import { promotionOrder, type Ring } from '../repo/ring.ts';
import type { Tenant } from '../repo/tenants.ts';
import { type GitRepository, runGit, tryGit } from './git-command.ts';
import { type ManifestFiles, requireLock } from './manifest-files.ts';

export interface LockCommit {
  readonly commit: string;
  readonly author: string;
  /** RFC 3339. */
  readonly date: string;
  readonly subject: string;
}

/** What one ring is, from the committed files. */
export interface RingOverview {
  readonly ring: Ring;
  readonly tenants: readonly Tenant[];
  /** Null where the ring has no lock. */
  readonly platform: string | null;
  readonly moduleCount: number;
  /** The commit that last touched the ring's lock; undefined before the first. */
  readonly lastCommit: LockCommit | undefined;
}

/** All rings, in promotion order. */
export function ringOverviews(
  repository: GitRepository,
  files: ManifestFiles,
): Promise<RingOverview[]> {
  const rings = promotionOrder([...files.rings.values()]);
  return Promise.all(rings.map((ring) => ringOverview(repository, files, ring)));
}

export async function ringOverview(
  repository: GitRepository,
  files: ManifestFiles,
  ring: Ring,
): Promise<RingOverview> {
  const lock = files.lockTexts.has(ring.name) ? requireLock(files, ring.name).lock : undefined;
  return {
    ring,
    tenants: [...(files.tenants?.tenants.values() ?? [])].filter((one) => one.ring === ring.name),
    platform: lock?.platform ?? null,
    moduleCount: lock?.modules.size ?? 0,
    lastCommit: await lastCommitOf(repository, lockFile(ring.name)),
  };
}

async function lastCommitOf(
  { topLevel }: GitRepository,
  path: string,
): Promise<LockCommit | undefined> {
  const head = await tryGit(topLevel, ['rev-parse', '--verify', '--quiet', 'HEAD']);
  if (head.status !== 0) return undefined;
  const format = '--format=%H%x00%an%x00%aI%x00%s';
  const line = await runGit(topLevel, ['log', '-1', format, '--', path]);
  const [commit, author, date, subject] = line.split('\0');
  if (!commit || author === undefined || date === undefined) return undefined;
  return { commit, author, date, subject: subject ?? '' };
}
