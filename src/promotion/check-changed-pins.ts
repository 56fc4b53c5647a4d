import { RinglockError } from '../errors.ts';
import { type GitRepository, runGit } from '../git/git-command.ts';
import { readLockChange } from '../git/lock-change.ts';
import { type ManifestFiles, readManifestFilesAt } from '../git/manifest-files.ts';
import { type Lock, parseLock, samePin } from '../repo/lock.ts';
import { readOverride } from '../repo/override-trailer.ts';
import { gateLines, isOpen, type PinJudgement } from '../repo/pin-judgement.ts';
import type { Ring } from '../repo/ring.ts';
import { type GatedPin, type GateSources, judgePins } from './judge-pins.ts';

/** A change of locks, as a merge request or a push makes it. */
export interface LockChangeRange {
  /** The commit that the deploy branch is at: its ring files say which gates hold. */
  readonly before: string;
  /** The commit or tree that it would be at. */
  readonly after: string;
  /** The commits that the change consists of: their messages may have overrides, their authors made it. */
  readonly commits: readonly string[];
}

/** What the gates of one pinned ring say of a change of its lock. */
export interface RingGateCheck {
  readonly ring: string;
  /** One for each entry that changes. */
  readonly changes: readonly PinJudgement[];
  /** Those whose closed gates a commit's message goes over, where the ring's file allows that. */
  readonly overridden: readonly OverriddenPin[];
  /** Those that may not come; empty when all may. */
  readonly refused: readonly PinJudgement[];
}

export interface OverriddenPin {
  readonly alias: string | null;
  readonly reason: string;
  readonly commit: string;
}

/**
 * Asks the gates of pinned rings about every entry of their locks that a change adds, moves or removes, so
 * that an edit by hand skips none. The gates are those of `before`: a change cannot bring its own.
 *
 * @returns one for each pinned ring whose lock changes
 * @throws RinglockError `no-platform`, and what the parsers of the files throw
 */
export async function checkChangedPins(
  repository: GitRepository,
  range: LockChangeRange,
  sources: GateSources,
): Promise<RingGateCheck[]> {
  const was = await platformBefore(repository, range.before);
  if (was === undefined) return [];
  const is = await readManifestFilesAt(repository, range.after);
  const checks: RingGateCheck[] = [];
  for (const ring of was.rings.values()) {
    const pins =
      ring.tracking || !is.lockTexts.has(ring.name) ? [] : changedPins(was, is, ring.name);
    if (pins.length === 0) continue;
    checks.push(await checkRing(repository, range, sources, { ring, pins, is }));
  }
  return checks;
}

/** What may not come, for people; empty when all may. */
export function describeRefusals({ ring, refused }: RingGateCheck): string[] {
  if (refused.length === 0) return [];
  return [`manifests/${ring}.lock.json:`, ...gateLines(refused).map((line) => `  ${line}`)];
}

/** 0: all may come; 3: nothing but what cannot be judged here stands in the way; else 1. */
export function gateExitCode(checks: readonly RingGateCheck[]): 0 | 1 | 3 {
  const gates = checks.flatMap(({ refused }) => refused.flatMap((change) => change.gates));
  if (gates.length === 0) return 0;
  return gates.some(({ state }) => state === 'closed') ? 1 : 3;
}

/** The first commit of a platform changes no ring. */
async function platformBefore(
  repository: GitRepository,
  before: string,
): Promise<ManifestFiles | undefined> {
  try {
    return await readManifestFilesAt(repository, before);
  } catch (error) {
    if (error instanceof RinglockError && error.code === 'no-platform') return undefined;
    throw error;
  }
}

function lockOf({ lockTexts }: ManifestFiles, ring: string): Lock | undefined {
  const text = lockTexts.get(ring);
  return text === undefined ? undefined : parseLock(text, ring);
}

function changedPins(was: ManifestFiles, is: ManifestFiles, ring: string): GatedPin[] {
  const [before, after] = [lockOf(was, ring), lockOf(is, ring)];
  // The first lock of a ring moves nothing that anybody runs.
  if (before === undefined || was.lockTexts.get(ring) === is.lockTexts.get(ring)) return [];
  const pins = [...(after?.modules ?? [])].flatMap(([alias, entry]): GatedPin[] => {
    const known = before.modules.get(alias);
    if (known !== undefined && samePin(known, entry)) return [];
    return [{ kind: 'pin', alias, after: entry }];
  });
  const removed = [...before.modules.keys()].filter((alias) => !after?.modules.has(alias));
  const platform = after?.platform ?? before.platform;
  return [
    ...pins,
    ...removed.map((alias): GatedPin => ({ kind: 'removal', alias })),
    ...(platform === before.platform ? [] : [{ kind: 'platform', platform } as const]),
  ];
}

async function checkRing(
  repository: GitRepository,
  { before, commits }: LockChangeRange,
  sources: GateSources,
  { ring, pins, is }: { ring: Ring; pins: readonly GatedPin[]; is: ManifestFiles },
): Promise<RingGateCheck> {
  const source = ring.promotesFrom === undefined ? undefined : lockOf(is, ring.promotesFrom);
  const changes = await judgePins(
    repository,
    {
      ...{ ring, pins, source: source?.modules, historyOf: before },
      approvedIn: [before, ...commits],
      authors: ring.gates.approvals === 0 ? [] : await authorsOf(repository, commits),
    },
    sources,
  );
  const shut = changes.filter((change) => !isOpen(change));
  const overridden = ring.gates.isOverridable
    ? await overriddenOf(repository, ring.name, commits, shut)
    : [];
  const isOverridden = ({ alias }: PinJudgement) => overridden.some((one) => one.alias === alias);
  const refused = shut.filter((change) => !isOverridden(change));
  return { ring: ring.name, changes, overridden, refused };
}

async function authorsOf({ topLevel }: GitRepository, commits: readonly string[]) {
  if (commits.length === 0) return [];
  const listed = await runGit(topLevel, ['show', '-s', '--format=%ae', ...commits, '--']);
  return [...new Set(listed.split('\n').filter(Boolean))];
}

/** An override is for what its own commit changes in the lock, as it changes it. */
async function overriddenOf(
  repository: GitRepository,
  ring: string,
  commits: readonly string[],
  shut: readonly PinJudgement[],
): Promise<OverriddenPin[]> {
  const found: OverriddenPin[] = [];
  if (shut.length === 0) return found;
  for (const commit of commits) {
    const message = await runGit(repository.topLevel, ['show', '-s', '--format=%B', commit, '--']);
    const reason = readOverride(message);
    if (reason === undefined) continue;
    const change = await readLockChange(repository, commit, ring);
    for (const { alias, version, sha256 } of shut) {
      const pin = version === null ? undefined : `${version} ${sha256}`;
      const isItsOwn = alias === null || (change.has(alias) && change.get(alias) === pin);
      if (isItsOwn && !found.some((one) => one.alias === alias)) {
        found.push({ alias, reason, commit });
      }
    }
  }
  return found;
}
