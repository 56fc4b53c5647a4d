import { refused } from '../errors.ts';
import type { ModuleManifest } from '../repo/module-manifest.ts';
import { distributionFilter } from './exclusions.ts';
import { findPathRefusals, type TreeFile } from './refusals.ts';

/** The manifest's name: what makes a directory a module. */
export const moduleManifestFile = 'module.json';

/**
 * The files of a module that are digested and installed, in the order given.
 *
 * @param files all files below the module's directory
 * @param directory what messages call the module, e.g. `modules/Orders`
 * @throws RinglockError `refused-path`, naming every path that cannot be digested, and why
 */
export function distributedFiles<File extends TreeFile>(
  manifest: Pick<ModuleManifest, 'distribution' | 'changelog'>,
  files: readonly File[],
  directory: string,
  maxFiles: number,
): File[] {
  const isDistributed = distributionFilter(manifest.distribution, [
    moduleManifestFile,
    manifest.changelog,
  ]);
  const distributed = files.filter(({ path }) => isDistributed(path));
  const refusals = findPathRefusals(distributed, maxFiles);
  if (refusals.length > 0) {
    const shown = refusals.slice(0, 10).map(({ path, reason }) => `${directory}/${path} ${reason}`);
    const more =
      refusals.length > shown.length ? [`and ${refusals.length - shown.length} more`] : [];
    throw refused('refused-path', [...shown, ...more].join('\n'), {
      hint: 'Remove or rename it, or leave it out with distribution.exclude in module.json.',
      details: { refusals },
    });
  }
  return distributed;
}
