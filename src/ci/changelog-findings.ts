import semver from 'semver';
import type { GitRepository } from '../git/git-command.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from '../git/object-batch.ts';
import type { ModuleSnapshot } from '../git/platform-snapshot.ts';
import { changelogSection } from '../repo/changelog.ts';
import { lineFinder } from '../repo/source-text.ts';
import type { CiRange } from './ci-range.ts';
import type { CiFinding } from './finding.ts';
import { platformOf } from './platform-of.ts';

/**
 * The modules whose minor or major version a change raises without a section in the changelog, or with an
 * empty one. Advice: nothing of it is an error.
 */
export async function findChangelogProblems(
  repository: GitRepository,
  { head, base, snapshot }: CiRange,
): Promise<CiFinding[]> {
  const before = await platformOf(repository, base);
  if (before === undefined) return [];
  return withObjects(repository, async (objects) => {
    const found: CiFinding[] = [];
    for (const module of snapshot.modules.values()) {
      const from = before.modules.get(module.alias)?.manifest.version;
      const to = module.manifest.version;
      const kind = from === undefined || !semver.gt(to, from) ? null : semver.diff(from, to);
      if (kind === null || !/^(pre)?(major|minor)$/.test(kind)) continue;
      const text = await readChangelog(objects, head, module);
      const section = text === undefined ? undefined : changelogSection(text, to);
      if (section === undefined || section === '') {
        found.push(changelogFinding(module, from ?? '', text, section));
      }
    }
    return found;
  });
}

async function readChangelog(
  objects: ObjectBatch,
  head: string,
  { path, manifest }: ModuleSnapshot,
): Promise<string | undefined> {
  try {
    return (await objects.readBlob(`${head}:${path}/${manifest.changelog}`)).toString();
  } catch (error) {
    if (isObjectMissing(error)) return undefined;
    throw error;
  }
}

function changelogFinding(
  { alias, path, manifest, manifestText }: ModuleSnapshot,
  from: string,
  text: string | undefined,
  section: string | undefined,
): CiFinding {
  const { version, changelog } = manifest;
  const file = `${path}/${text === undefined ? 'module.json' : changelog}`;
  const what =
    text === undefined
      ? `${path}/${changelog} is missing`
      : `${path}/${changelog} has ${section === undefined ? 'no section' : 'an empty section'} for it`;
  return {
    ...{ check: 'changelog-missing', severity: 'warning', alias, file, files: [] },
    line: text === undefined ? (lineFinder(manifestText)(['version']) ?? 1) : 1,
    message: `${alias} goes from ${from} to ${version}, and ${what}`,
    mend: `Write what is new below a heading ## ${version}.`,
  };
}
