import { refused } from '../errors.ts';
import { tenantsFile } from './names.ts';
import type { Ring } from './ring.ts';
import {
  findHostnameClaims,
  parseTenantsFile,
  requireTenant,
  type Tenant,
  type TenantsFile,
  withTenantsAssigned,
} from './tenants.ts';
import { withoutYamlItem, withoutYamlValue, withYamlItem, withYamlValue } from './yaml-edit.ts';

export interface Assignment {
  readonly tenant: string;
  readonly from: string;
  readonly to: string;
  /** False when the tenant sits there already. */
  readonly changed: boolean;
  /** Its modules that the ring's lock does not have: they are off there. */
  readonly missing: readonly string[];
}

/** What is edited, and its text afterwards; comments and order stay. */
export interface Assignments {
  readonly assignments: readonly Assignment[];
  readonly text: string;
}

/**
 * Moves tenants to a ring.
 *
 * @param locked the aliases that the ring's lock has
 * @param since the day of the move, `2026-11-24`
 * @throws RinglockError `unknown-tenant`, before anything is moved
 */
export function assignTenants(
  file: TenantsFile,
  ids: readonly string[],
  ring: string,
  locked: ReadonlySet<string>,
  why: { readonly reason: string; readonly since: string },
): Assignments {
  const assignments = [...new Set(ids)].map((id) => {
    const { ring: from, modules } = requireTenant(file, id);
    const missing = modules.filter((alias) => !locked.has(alias));
    return { tenant: id, from, to: ring, changed: from !== ring, missing };
  });
  const moved = assignments.filter(({ changed }) => changed).map(({ tenant }) => tenant);
  const text = withTenantsAssigned(file, new Set(moved), { ring, ...why });
  return { assignments, text };
}

/**
 * The file's text with one more tenant.
 *
 * @throws RinglockError `tenant-exists`, `hostname-claimed-twice`, `unknown-module`, and what
 *   parseTenantsFile() throws of an id or hostname that is none
 */
export function withNewTenant(
  file: TenantsFile,
  tenant: Tenant,
  rings: ReadonlyMap<string, Ring>,
  locked: ReadonlySet<string>,
): string {
  const { id, name, ring, hostnames, modules, reason, since } = tenant;
  const present = file.tenants.get(id);
  if (present !== undefined) {
    throw refused('tenant-exists', `${tenantsFile} has a tenant ${id}, on ${present.ring}`, {
      hint: `Move it with: ringlock ring assign ${id} ${ring} --reason "…"`,
    });
  }
  for (const alias of modules) requireLocked(alias, ring, locked);
  const fields = {
    ...(name !== undefined && { name }),
    ring,
    ...(hostnames.length > 0 && { hostnames }),
    ...(modules.length > 0 && { modules }),
    ...(reason !== undefined && { reason }),
    ...(since !== undefined && { since }),
  };
  const text = withYamlValue(file.text, ['tenants', id], fields, 'flow');
  const known = new Set(findHostnameClaims(file.tenants, rings));
  const claims = findHostnameClaims(parseTenantsFile(text).tenants, rings);
  const twice = claims.filter((claim) => !known.has(claim));
  if (twice.length > 0) {
    throw refused('hostname-claimed-twice', `${twice.join('\n')}; expected one owner`, {
      hint: 'Give it to one of them only.',
    });
  }
  return text;
}

/** The file's text without a tenant. @throws RinglockError `unknown-tenant` */
export function withoutTenant(file: TenantsFile, id: string): string {
  requireTenant(file, id);
  return withoutYamlValue(file.text, ['tenants', id]);
}

/**
 * The file's text with a module enabled for a tenant; unchanged where it is enabled.
 *
 * @throws RinglockError `unknown-tenant`, `unknown-module` when the tenant's ring does not have it
 */
export function withModuleEnabled(
  file: TenantsFile,
  id: string,
  alias: string,
  locked: ReadonlySet<string>,
): string {
  const { ring, modules } = requireTenant(file, id);
  requireLocked(alias, ring, locked);
  if (modules.includes(alias)) return file.text;
  return withYamlItem(file.text, ['tenants', id, 'modules'], alias);
}

/**
 * The same with one disabled. One that the ring's lock no longer has can be disabled, too.
 *
 * @throws RinglockError `unknown-tenant`, `unknown-module` when neither tenant nor ring has it
 */
export function withModuleDisabled(
  file: TenantsFile,
  id: string,
  alias: string,
  locked: ReadonlySet<string>,
): string {
  const { ring, modules } = requireTenant(file, id);
  if (!modules.includes(alias)) {
    requireLocked(alias, ring, locked);
    return file.text;
  }
  return withoutYamlItem(file.text, ['tenants', id, 'modules'], alias);
}

function requireLocked(alias: string, ring: string, locked: ReadonlySet<string>): void {
  if (locked.has(alias)) return;
  throw refused('unknown-module', `the lock of ${ring} has no module ${JSON.stringify(alias)}`, {
    hint: `Modules there: ${[...locked].sort().join(', ') || 'none'}.`,
    details: { ring, modules: [...locked].sort() },
  });
}

/** What is wrong with tenants.yaml beside its form, a line each. */
export function findTenantProblems(
  tenants: ReadonlyMap<string, Tenant>,
  rings: ReadonlyMap<string, Ring>,
): string[] {
  const lost = [...tenants.values()].filter(({ ring }) => !rings.has(ring));
  return [
    ...lost.map(({ id, ring }) => `tenant ${id} sits on ${ring}, which is no ring`),
    ...findHostnameClaims(tenants, rings),
  ];
}
