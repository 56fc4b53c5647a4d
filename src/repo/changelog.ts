/** A heading such as `## 1.4.2`, `## [1.4.2] - 2026-11-24` or `# v1.4.2 (2026-11-24)`. */
const versionHeading = /^(#{1,3})\s+\[?v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)\]?(?![0-9A-Za-z.-])/;

/**
 * The text under a version's heading, without the heading; undefined when the changelog has none.
 */
export function changelogSection(changelog: string, version: string): string | undefined {
  const lines = changelog.split(/\r?\n/);
  const start = lines.findIndex((line) => versionHeading.exec(line)?.[2] === version);
  if (start === -1) return undefined;
  const depth = versionHeading.exec(lines[start] ?? '')?.[1]?.length ?? 1;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => (/^(#+)\s/.exec(line)?.[1]?.length ?? 7) <= depth);
  return (end === -1 ? rest : rest.slice(0, end)).join('\n').trim();
}

/**
 * The changelog with a heading for a version above the newest one, or as it was when it has it.
 *
 * @param date `2026-11-24`
 * @param entry the first line of the new section
 */
export function withChangelogHeading(
  changelog: string,
  version: string,
  date: string,
  entry: string,
): string {
  if (changelogSection(changelog, version) !== undefined) return changelog;
  const section = `## ${version} - ${date}\n\n- ${entry}\n`;
  const lines = changelog.split('\n');
  const newest = lines.findIndex((line) => versionHeading.test(line));
  if (newest === -1) {
    const head = changelog.trimEnd() === '' ? '# Changelog' : changelog.trimEnd();
    return `${head}\n\n${section}`;
  }
  return [...lines.slice(0, newest), ...section.split('\n'), ...lines.slice(newest)].join('\n');
}

/** The versions that a changelog has headings for, in its order. */
export function changelogVersions(changelog: string): string[] {
  const found = changelog.split(/\r?\n/).flatMap((line) => versionHeading.exec(line)?.[2] ?? []);
  return [...new Set(found)];
}
