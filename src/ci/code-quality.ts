import { createHash } from 'node:crypto';
import type { CiFinding } from './finding.ts';

/**
 * The findings as GitLab's Code Quality report: a JSON array, empty where there is nothing, since a report
 * that is missing leaves the former one standing. A fingerprint says nothing of line and words, so that
 * GitLab sees one finding in pipeline after pipeline until it is mended.
 *
 * https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
 */
export function codeQualityReport(findings: readonly CiFinding[]): string {
  const seen = new Map<string, number>();
  const entries = findings.map((finding) => {
    const key = [finding.check, finding.alias ?? '', finding.file].join('\n');
    const place = seen.get(key) ?? 0;
    seen.set(key, place + 1);
    return {
      description: described(finding),
      check_name: `ringlock/${finding.check}`,
      fingerprint: createHash('sha256').update(`${key}\n${place}`).digest('hex'),
      severity: finding.severity === 'error' ? 'critical' : 'minor',
      location: { path: finding.file, lines: { begin: finding.line } },
    };
  });
  return `${JSON.stringify(entries, null, 2)}\n`;
}

function described({ message, mend }: CiFinding): string {
  return mend === undefined ? message : `${message} → ${mend}`;
}
