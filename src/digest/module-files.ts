import { badInput, refused } from '../errors.ts';
import type { ModuleManifest } from '../repo/module-manifest.ts';
import { distributionFilter } from './exclusions.ts';
import { findPathRefusals, type TreeFile } from './refusals.ts';
import { withinTime } from './time-limit.ts';

/** The manifest's name: what makes a directory a module. */
export const moduleManifestFile = 'module.json';

/**
 * The files of a module that are digested and installed, in the order given.
 *
 * @param files all files below the module's directory
 * @param directory what messages call the module, e.g. `modules/Orders`
 * @param filterTimeMs how long its globs may take: a hundred thousand paths take a tenth of a second,
 *   and a glob can be written to take for ever
 * @throws RinglockError `refused-path`, naming every path that cannot be digested, and why;
 *   `invalid-file` for globs that take too long
 */
export function distributedFiles<File extends TreeFile>(
  manifest: Pick<ModuleManifest, 'distribution' | 'changelog'>,
  files: readonly File[],
  directory: string,
  maxFiles: number,
  filterTimeMs = 5_000,
): File[] {
  const distributed = filterFiles(manifest, files, directory, filterTimeMs);
  const refusals = findPathRefusals(distributed, maxFiles);
  if (refusals.length > 0) {
    const shown = refusals.slice(0, 10).map(({ path, reason }) => `${directory}/${path} ${reason}`);
    const more =
      refusals.length > shown.length ? [`and ${refusals.length - shown.length} more`] : [];
    throw refused('refused-path', [...shown, ...more].join('\n'), {
      hint: 'Remove or rename it, or leave it out with distribution.exclude in module.json.',
      details: { refusals: refusals.slice(0, 100) },
    });
  }
  return distributed;
}

function filterFiles<File extends TreeFile>(
  { distribution, changelog }: Pick<ModuleManifest, 'distribution' | 'changelog'>,
  files: readonly File[],
  directory: string,
  filterTimeMs: number,
): File[] {
  const filter = () => {
    const isDistributed = distributionFilter(distribution, [moduleManifestFile, changelog]);
    return files.filter(({ path }) => isDistributed(path));
  };
  if (distribution.include.length + distribution.exclude.length === 0) return filter();
  const distributed = withinTime(filterTimeMs, filter);
  if (distributed !== undefined) return distributed;
  throw badInput(
    'invalid-file',
    `${directory}/${moduleManifestFile}: distribution has globs that take longer than ${filterTimeMs} ms for its ${files.length} files`,
    { hint: 'Use fewer wildcards in one glob, and none inside another.' },
  );
}
