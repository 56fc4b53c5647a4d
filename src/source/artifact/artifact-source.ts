import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Limits } from '../../repo/limits.ts';
import type { LockArtifact } from '../../repo/lock.ts';
import { type IsAllowed, notAllowed } from '../allowed-places.ts';
import { readArchive } from '../archive/read-archive.ts';
import type { ModuleSource, SourceFile, WantedModule } from '../module-source.ts';
import type { Registry } from '../registry/registry.ts';
import { downloadArtifact } from './download-artifact.ts';

/** The bytes of an artifact, as they come; readUrl() is one. */
export type ReadArtifact = Registry['read'];

export interface ArtifactSourceOptions {
  readonly readArtifact: ReadArtifact;
  readonly isAllowed: IsAllowed;
  /** Where a package lies while it is read; whatever a kill leaves there is somebody's to clean. */
  readonly staging: string;
  readonly limits: Limits;
  readonly maxFiles: number;
  /** Ends a download; read at every one. */
  readonly signal: () => AbortSignal;
}

/**
 * Modules from the package that their lock entry names: downloaded to staging, size and digest verified
 * while it comes, then read as an archive that nobody trusts.
 */
export function artifactSource(options: ArtifactSourceOptions): ModuleSource {
  return {
    name: 'artifact',
    offers: ({ entry: { artifact } }) => artifact !== null && options.isAllowed(artifact.url),
    read: async (module) => {
      const { artifact } = module.entry;
      if (artifact === null) return undefined;
      if (!options.isAllowed(artifact.url)) throw notAllowed(artifact.url);
      return readPackage(artifact, module, options);
    },
  };
}

async function* readPackage(
  artifact: LockArtifact,
  { alias, entry }: WantedModule,
  { readArtifact, staging, limits, maxFiles, signal }: ArtifactSourceOptions,
): AsyncGenerator<SourceFile> {
  const path = join(staging, `${randomBytes(8).toString('hex')}.zip`);
  const label = `the package of ${alias} ${entry.version}`;
  try {
    const bytes = readArtifact(artifact, signal());
    await downloadArtifact(bytes, artifact, path, { label, limit: limits.module });
    yield* readArchive(path, { label, limits, maxFiles });
  } finally {
    await rm(path, { force: true });
  }
}
