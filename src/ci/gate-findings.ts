import { type GitRepository, runGit } from '../git/git-command.ts';
import type { PlatformSnapshot } from '../git/platform-snapshot.ts';
import { checkChangedPins } from '../promotion/check-changed-pins.ts';
import type { GateSources } from '../promotion/judge-pins.ts';
import { lockFile } from '../repo/names.ts';
import { gateLines, type PinJudgement } from '../repo/pin-judgement.ts';
import { lineFinder } from '../repo/source-text.ts';
import type { CiRange } from './ci-range.ts';
import { treeWithFiles } from './commit-onto.ts';
import type { CiFinding } from './finding.ts';
import { mergedLock } from './merged-lock.ts';
import { platformOf } from './platform-of.ts';

/**
 * Asks the gates of pinned rings again about every entry that a change adds, moves or removes, so that a
 * bare edit of a lock skips none. The gates are the target's own: a change cannot bring others.
 */
export async function findGateProblems(
  repository: GitRepository,
  range: CiRange,
  sources: GateSources,
): Promise<CiFinding[]> {
  const before = range.tip ?? range.base;
  if (before === undefined) return [];
  const listed = await runGit(repository.topLevel, ['rev-list', `${before}..${range.head}`]);
  const commits = listed.split('\n').filter(Boolean);
  const after = await afterMerge(repository, range);
  const checks = await checkChangedPins(repository, { before, after, commits }, sources);
  return checks.flatMap(({ ring, refused }) =>
    refused.map((judgement) => gateFinding(range.snapshot, ring, judgement)),
  );
}

/** What the target will be: where it has moved on, its own locks with what the change does to them. */
async function afterMerge(
  repository: GitRepository,
  { base, tip, head, snapshot }: CiRange,
): Promise<string> {
  if (tip === undefined || tip === base) return head;
  const [was, target] = await Promise.all([base, tip].map((each) => platformOf(repository, each)));
  if (target === undefined) return head;
  const files = new Map<string, string | undefined>();
  for (const { ring } of target.rings.values()) {
    if (ring.tracking) continue;
    const [from, to, there] = [was, snapshot, target].map((one) => one?.lockTexts.get(ring.name));
    const text = mergedLock(ring.name, { base: from, change: to, target: there });
    if (text !== there) files.set(lockFile(ring.name), text);
  }
  return files.size === 0 ? tip : treeWithFiles(repository, tip, files);
}

function gateFinding(
  { lockTexts }: PlatformSnapshot,
  ring: string,
  judgement: PinJudgement,
): CiFinding {
  const { alias, gates } = judgement;
  const isClosed = gates.some(({ state }) => state === 'closed');
  const path = alias === null ? ['platform'] : ['modules', alias];
  return {
    check: isClosed ? 'gate-closed' : 'gate-unjudged',
    severity: 'error',
    alias: alias ?? undefined,
    file: lockFile(ring),
    line: lineFinder(lockTexts.get(ring) ?? '')(path) ?? 1,
    message: `${lockFile(ring)}: ${gateLines([judgement]).join('\n  ')}`,
    mend: isClosed
      ? `Take it out of the lock until the gates of ${ring} are open, or promote it with ringlock ring promote.`
      : 'Give this job what its gates ask: DATABASE_URL for soak and health, --allowed-signers or --gpg-keys for approvals.',
    files: [],
  };
}
