import type { Registry } from './registry.ts';

/**
 * Reads an artifact from the registry whose it is, with that registry's way of asking and its token.
 *
 * @param otherwise reads what is no registry's
 */
export function readFromRegistries(
  registries: readonly Registry[],
  otherwise: Registry['read'],
): Registry['read'] {
  return (artifact, signal) => {
    const registry = registries.find((each) => each.owns(artifact.url));
    return registry === undefined ? otherwise(artifact, signal) : registry.read(artifact, signal);
  };
}
