import type { OpenPackages } from '../git/package-source.ts';
import { registryPackages } from '../source/registry/registry-packages.ts';

/** The registries that a platform and this process's environment name. */
export const openPackages: OpenPackages = (platform) => registryPackages(platform, process.env);
