import { Command, Option } from 'clipanion';
import { type CiRange, findCiRange } from '../ci/ci-range.ts';
import type { CiFinding } from '../ci/finding.ts';
import { fixAndPushLocks, fixLocks, type LockFix } from '../ci/fix-locks.ts';
import { findGateProblems } from '../ci/gate-findings.ts';
import { findLockProblems } from '../ci/lock-findings.ts';
import { type OpenedRange, openRange } from '../ci/open-range.ts';
import { pushCommand } from '../ci/push-commit.ts';
import { badInput } from '../errors.ts';
import type { GitRepository } from '../git/git-command.ts';
import { openGateSources } from '../promotion/gate-sources.ts';
import { BaseCiCommand } from './base-ci.ts';

export class CiLockCommand extends BaseCiCommand {
  static override paths = [['ci', 'lock']];
  static override usage = Command.Usage({
    category: 'Deliver',
    description: 'Check the locks that a change commits.',
    details: `
      A tracking ring's lock has to be what modules/ says. An entry that the change gives to a pinned
      ring has to have the released bytes, and a tree that a deploy branch or a tag reaches; and the
      ring's gates are asked again, as the target branch has them, so that a bare edit of a lock skips
      none. What the gates ask comes as for \`ringlock ring promote\`.

      --fix commits tracking locks made anew, and pinned ones with conflict markers resolved: a forge's
      own merge runs no hook and no merge driver. With --push the commit is made on the tip of the
      branch and pushed, with RINGLOCK_PUSH_TOKEN where that is set. Broken versions are never fixed
      like that.
    `,
    examples: [
      ["In a merge request's pipeline", 'ringlock ci lock'],
      ['In the pipeline of the deploy branch', 'ringlock ci lock --fix --push'],
    ],
  });

  fix = Option.Boolean('--fix', false, { description: 'Commit the locks as they should be.' });
  push = Option.Boolean('--push', false, { description: 'With --fix: push that commit.' });

  databaseUrl = Option.String('--database-url', {
    description: 'PostgreSQL with the audit, for gates (DATABASE_URL).',
  });
  allowedSigners = Option.String('--allowed-signers', {
    description: 'Whose SSH keys may approve (RINGLOCK_ALLOWED_SIGNERS_FILE).',
  });
  gpgKeys = Option.String('--gpg-keys', {
    description: 'OpenPGP keys that may approve: a file or a directory (RINGLOCK_GPG_KEYS).',
  });
  revokedKeys = Option.String('--revoked-keys', {
    description: 'Keys or fingerprints that may not any more (RINGLOCK_REVOKED_KEYS_FILE).',
  });

  async run(): Promise<number> {
    if (this.push && !this.fix) throw badInput('bad-usage', '--push goes with --fix only');
    const { fixed, range, findings } = await this.progress('Checking locks…', async () => {
      const opened = await openRange(this.cwd, process.env, this.request('all'));
      const done = this.fix ? await this.fixed(opened) : undefined;
      const fixedRange = done?.range ?? opened.range;
      const problems = await this.problems(opened.repository, fixedRange);
      return { fixed: done, range: fixedRange, findings: problems };
    });
    return this.report(range, findings, describeFix(fixed), 'the locks are right', {
      ...(fixed && { fixed: { commit: fixed.commit ?? null, pushed: fixed.pushed ?? null } }),
    });
  }

  private async problems(repository: GitRepository, range: CiRange): Promise<CiFinding[]> {
    const found = await findLockProblems(repository, range);
    // Of a lock that cannot be read no gate can be asked.
    if (found.some(({ check }) => check === 'lock-conflict')) return found;
    const { databaseUrl, allowedSigners, gpgKeys, revokedKeys } = this;
    const flags = { databaseUrl, allowedSigners, gpgKeys, revokedKeys };
    const place = { workingDirectory: this.cwd, environment: process.env, now: new Date() };
    const sources = await openGateSources(flags, repository, place);
    return [...found, ...(await findGateProblems(repository, range, sources))];
  }

  /** What is checked then is the change with the fix in it. */
  private async fixed({ repository, context, range }: OpenedRange): Promise<LockFix> {
    const request = this.request('all');
    const fix = this.push
      ? await fixAndPushLocks(repository, context, request, range, process.env)
      : await fixLocks(repository, range, process.env);
    if (fix.commit === undefined) return fix;
    const head = fix.commit;
    return { ...fix, range: await findCiRange(repository, context, { ...request, head }) };
  }
}

function describeFix(fix: LockFix | undefined): string[] {
  if (fix?.commit === undefined) return [];
  const { commit, changes, pushed, range } = fix;
  const next = `  → ${pushCommand(range)}`;
  return [
    `committed as ${commit.slice(0, 12)}:`,
    ...changes.map((change) => `  ${change}`),
    pushed === undefined ? next : `pushed to ${pushed}`,
  ];
}
