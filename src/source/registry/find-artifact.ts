import { environmentFailed, RinglockError, refused } from '../../errors.ts';
import { sortedVersions } from './package-files.ts';
import type { FoundArtifact, Registry } from './registry.ts';

/** An artifact and the registry that has it. */
export interface ArtifactAt {
  readonly registry: Registry;
  readonly artifact: FoundArtifact;
}

/**
 * Where a version is: at the first registry that has it. One that is away is passed over.
 *
 * @throws RinglockError `module-not-found`, `version-not-found` with the versions that there are;
 *   `registries-away` when none has it and one did not answer
 */
export async function findArtifact(
  registries: readonly Registry[],
  alias: string,
  version: string,
): Promise<ArtifactAt> {
  const failures: RinglockError[] = [];
  for (const registry of registries) {
    try {
      const artifact = await registry.find(alias, version);
      if (artifact !== undefined) return { registry, artifact };
    } catch (error) {
      if (!(error instanceof RinglockError)) throw error;
      failures.push(error);
    }
  }
  if (failures.length > 0) throw away(alias, version, failures);
  throw notFound(registries, alias, version, await allVersions(registries, alias));
}

async function allVersions(registries: readonly Registry[], alias: string) {
  const lists = registries.map((registry) => registry.versions(alias).catch(() => []));
  return sortedVersions((await Promise.all(lists)).flat());
}

function notFound(
  registries: readonly Registry[],
  alias: string,
  version: string,
  versions: readonly string[],
): RinglockError {
  const places = registries.map(({ display }) => display).join(', ') || 'no registry is configured';
  if (versions.length === 0) {
    return refused('module-not-found', `no registry has any version of ${alias} (${places})`, {
      hint: `Is the name right? Release it with: ringlock release ${alias}@${version}`,
    });
  }
  return refused('version-not-found', `no registry has ${alias} ${version} (${places})`, {
    hint: `Versions there: ${versions.join(', ')}.`,
    details: { versions },
  });
}

function away(alias: string, version: string, failures: readonly RinglockError[]): RinglockError {
  const reasons = failures.map(({ message }) => `  ${message}`).join('\n');
  const hints = [...new Set(failures.flatMap(({ hint }) => hint ?? []))].join('\n');
  const message = `${alias} ${version} was not found, and not every registry answered:\n${reasons}`;
  return environmentFailed('registries-away', message, {
    cause: failures[0],
    ...(hints !== '' && { hint: hints }),
  });
}
