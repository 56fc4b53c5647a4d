import { environmentFailed, RinglockError } from '../errors.ts';
import { versionPublished } from '../source/registry/package-files.ts';
import type { FoundArtifact, PackagedModule, Registry } from '../source/registry/registry.ts';

/** What became of a package at one registry. */
export interface Placement {
  /** Its name for people. */
  readonly registry: string;
  /** `missing`: it would be published. */
  readonly outcome: 'published' | 'same' | 'missing' | 'failed';
  readonly artifact: FoundArtifact | undefined;
  readonly error: RinglockError | undefined;
}

/**
 * Where the package is already; nothing is written.
 *
 * @throws RinglockError `version-published` when any has other bytes under the version
 */
export async function findEverywhere(
  registries: readonly Registry[],
  module: PackagedModule,
): Promise<readonly Placement[]> {
  const { alias, version, sha256 } = module;
  const placements = await Promise.all(
    registries.map((registry) =>
      placement(registry, async () => {
        const artifact = await registry.find(alias, version);
        if (artifact === undefined) return { outcome: 'missing', artifact };
        if (artifact.sha256 === sha256) return { outcome: 'same', artifact };
        throw versionPublished(registry.display, module, artifact);
      }),
    ),
  );
  refuseConflict(placements);
  return placements;
}

/**
 * Publishes to every registry that does not have the package; one that is away does not keep it from the
 * others.
 *
 * @throws RinglockError `version-published`, before anything is written where that can be seen
 */
export async function publishEverywhere(
  registries: readonly Registry[],
  module: PackagedModule,
  signal: AbortSignal,
): Promise<readonly Placement[]> {
  await findEverywhere(registries, module);
  const placements = await Promise.all(
    registries.map((registry) => placement(registry, () => registry.publish(module, signal))),
  );
  signal.throwIfAborted();
  refuseConflict(placements);
  return placements;
}

async function placement(
  { display }: Registry,
  action: () => Promise<Pick<Placement, 'outcome' | 'artifact'>>,
): Promise<Placement> {
  try {
    const { outcome, artifact } = await action();
    return { registry: display, outcome, artifact, error: undefined };
  } catch (error) {
    if (!(error instanceof RinglockError)) throw error;
    return { registry: display, outcome: 'failed', artifact: undefined, error };
  }
}

function refuseConflict(placements: readonly Placement[]): void {
  const conflict = placements.find(({ error }) => error?.code === 'version-published');
  if (conflict?.error !== undefined) throw conflict.error;
}

/** @throws RinglockError `release-incomplete` with every registry's own reason */
export function requireEverywhere(module: PackagedModule, placements: readonly Placement[]): void {
  const failed = placements.filter(({ outcome }) => outcome === 'failed');
  if (failed.length === 0) return;
  const { alias, version } = module;
  const lines = failed.map(({ error }) => `  ${error?.message}`);
  const done = placements.filter(({ outcome }) => outcome === 'published' || outcome === 'same');
  const there =
    done.length === 0 ? '' : ` (it is at ${done.map((each) => each.registry).join(', ')})`;
  const hints = [...new Set(failed.flatMap(({ error }) => error?.hint ?? []))];
  const message = `${alias} ${version} is not at every registry${there}:\n${lines.join('\n')}`;
  const options = {
    hint: [...hints, 'Then run the same again: what is published stays, the rest follows.'].join(
      '\n',
    ),
    details: {
      failed: failed.map(({ registry, error }) => ({ registry, code: error?.code })),
      done: done.map(({ registry }) => registry),
    },
  };
  // Only wrong input everywhere is the caller's.
  const isInput = failed.every(({ error }) => error?.exitCode === 2);
  throw isInput
    ? new RinglockError('release-incomplete', 2, message, options)
    : environmentFailed('release-incomplete', message, options);
}
