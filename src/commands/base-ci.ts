import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { Option } from 'clipanion';
import type { CiRange } from '../ci/ci-range.ts';
import { codeQualityReport } from '../ci/code-quality.ts';
import { type CiFinding, describeFinding } from '../ci/finding.ts';
import { withoutCommands, workflowCommands } from '../ci/workflow-commands.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { BaseRangeCommand } from './base-range.ts';

/** What the checks of a pipeline share: how findings are told. */
export abstract class BaseCiCommand extends BaseRangeCommand {
  codeQuality = Option.String('--code-quality', {
    description: "Also write GitLab's code quality report to this file.",
  });

  /**
   * Prints findings, and where the pipeline can show them, there too.
   *
   * @param right what to say when there are none
   * @param more notices
   * @param fields more of the JSON document
   * @returns the exit code
   */
  protected async report(
    range: CiRange,
    findings: readonly CiFinding[],
    more: readonly string[],
    right: string,
    fields: object = {},
  ): Promise<number> {
    if (this.codeQuality !== undefined) {
      await writeFileAtomically(resolve(this.cwd, this.codeQuality), codeQualityReport(findings));
    }
    const notices = [...range.notices, ...more];
    const ok = findings.every(({ severity }) => severity !== 'error');
    const { head, base = null, tip = null, target = null } = range;
    this.answer({ ok, head, base, tip, target, findings, notices, ...fields });
    const github = process.env['GITHUB_ACTIONS'] === 'true' ? withoutCommands(randomUUID()) : null;
    if (github !== null) this.say(github.begin);
    for (const finding of findings) this.say(describeFinding(finding));
    for (const notice of notices) this.say(notice);
    if (findings.length === 0) this.say(right);
    if (github !== null) this.say(github.end);
    if (github !== null) for (const line of workflowCommands(findings)) this.say(line);
    // Nothing is wrong that is known: what the gates ask cannot be had here.
    const errors = findings.filter(({ severity }) => severity === 'error');
    return ok ? 0 : errors.every(({ check }) => check === 'gate-unjudged') ? 3 : 1;
  }
}
