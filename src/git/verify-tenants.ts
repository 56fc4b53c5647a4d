import { findTenantProblems } from '../repo/tenant-edit.ts';
import type { GitRepository } from './git-command.ts';
import { readManifestFiles } from './manifest-files.ts';

/** What is wrong with the work tree's tenants.yaml, a line each; nothing where there is none. */
export async function verifyTenants(repository: GitRepository): Promise<readonly string[]> {
  const { tenants, rings } = await readManifestFiles(repository);
  return tenants === undefined ? [] : findTenantProblems(tenants.tenants, rings);
}
