import { badInput } from '../errors.ts';
import { tenantsFile } from '../repo/names.ts';
import { withTenantAssigned } from '../repo/tenants.ts';
import type { GitRepository } from './git-command.ts';
import { readManifestFiles, requireRing, writeManifestFile } from './manifest-files.ts';

export interface Assignment {
  readonly tenant: string;
  readonly from: string | undefined;
  readonly to: string;
  /** False when the tenant sits there already; the file stays as it was. */
  readonly changed: boolean;
}

/**
 * Moves a tenant to a ring in the work tree's tenants.yaml, comments and order kept.
 *
 * @param since the day of the move, `2026-11-24`
 * @throws RinglockError `unknown-ring`, `unknown-tenant`, `no-tenants`
 */
export async function assignTenant(
  repository: GitRepository,
  tenant: string,
  ring: string,
  reason: string,
  since: string,
): Promise<Assignment> {
  const files = await readManifestFiles(repository);
  requireRing(files, ring);
  if (files.tenants === undefined) {
    throw badInput('no-tenants', `${tenantsFile} is missing`, {
      hint: `Start it with \`tenants:\` and a tenant below.`,
    });
  }
  const text = withTenantAssigned(files.tenants, tenant, ring, reason, since);
  const from = files.tenants.tenants.get(tenant)?.ring;
  const changed = from !== ring;
  if (changed) await writeManifestFile(repository, tenantsFile, text);
  return { tenant, from, to: ring, changed };
}
