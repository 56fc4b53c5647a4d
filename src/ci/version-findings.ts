import type { GitRepository } from '../git/git-command.ts';
import type { PlatformSnapshot } from '../git/platform-snapshot.ts';
import { checkVersions, type FoundViolation } from '../git/version-check.ts';
import { lineFinder } from '../repo/source-text.ts';
import type { CiRange } from './ci-range.ts';
import type { CiFinding } from './finding.ts';
import { mergedPlatform } from './merged-platform.ts';
import { platformOf } from './platform-of.ts';
import { shellWord } from './printable.ts';

export interface CiVersions {
  readonly findings: readonly CiFinding[];
  /** Sentences that refuse nothing. */
  readonly notices: readonly string[];
}

/**
 * The bump and immutability rules (DESIGN section 4) for a change: as it is, compared with where it
 * began; and as it will be once merged, compared with the target as it is now, since two branches may
 * both bump to 1.0.1 and a forge merges or squashes them without asking anybody.
 */
export async function findVersionProblems(
  repository: GitRepository,
  range: CiRange,
): Promise<CiVersions> {
  const { snapshot, base, tip, deployRefs } = range;
  const own = await checkVersions(repository, snapshot, base ? [base] : [], deployRefs);
  const findings = own.violations.map((violation) => versionFinding(snapshot, violation));
  if (tip === undefined || tip === base) return { findings, notices: own.notices };
  const target = await platformOf(repository, tip);
  if (target === undefined) {
    const notice = `${range.target} at ${tip.slice(0, 12)} is no platform that can be read: only the change itself was checked`;
    return { findings, notices: [...own.notices, notice] };
  }
  const merged = mergedPlatform(await platformOf(repository, base), target, snapshot);
  const once = await checkVersions(repository, merged, [tip], deployRefs);
  // A module whose version is wrong already needs another one anyway.
  const known = new Set(own.violations.map(topic));
  const more = once.violations
    .filter((violation) => !known.has(topic(violation)))
    .map((violation) => onceMerged(versionFinding(merged, violation), range));
  return { findings: [...findings, ...more], notices: own.notices };
}

function topic({ alias, kind }: FoundViolation): string {
  return `${kind === 'graph' ? 'graph' : 'version'} ${alias}`;
}

function versionFinding(
  { modules }: PlatformSnapshot,
  { alias, kind, message, mend, files }: FoundViolation,
): CiFinding {
  const module = modules.get(alias);
  return {
    check: `version-${kind}`,
    severity: 'error',
    alias,
    file: `${module?.path ?? 'modules'}/module.json`,
    line:
      lineFinder(module?.manifestText ?? '')([kind === 'graph' ? 'dependencies' : 'version']) ?? 1,
    ...{ message, mend, files },
  };
}

function onceMerged(finding: CiFinding, { target, tip }: CiRange): CiFinding {
  const message = `${finding.message}, once merged into ${target} as it is now (${tip?.slice(0, 12)})`;
  const mend =
    finding.check === 'version-graph'
      ? finding.mend
      : `ringlock ci versions --fix, or merge ${shellWord(target ?? '')} and ${finding.mend}`;
  return { ...finding, message, mend };
}
