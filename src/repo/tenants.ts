import { isDeepStrictEqual } from 'node:util';
import { refused } from '../errors.ts';
import { tenantsFile } from './names.ts';
import { parseYamlFile } from './source-text.ts';
import { tenantsValidator } from './validators.ts';
import { withYamlValue } from './yaml-edit.ts';
import { editEntries } from './yaml-entries.ts';

export interface Tenant {
  readonly id: string;
  /** What people call it. */
  readonly name?: string | undefined;
  readonly ring: string;
  readonly hostnames: readonly string[];
  /** Aliases of the modules enabled for this tenant. */
  readonly modules: readonly string[];
  readonly reason: string | undefined;
  /** A date, `2026-11-24`. */
  readonly since: string | undefined;
}

export interface TenantsFile {
  /** By id, in the file's order. */
  readonly tenants: ReadonlyMap<string, Tenant>;
  readonly text: string;
}

/** @throws RinglockError `invalid-yaml`, `invalid-file` */
export function parseTenantsFile(text: string, file = tenantsFile): TenantsFile {
  const { value } = parseYamlFile(text, file, tenantsValidator);
  const entries = Object.entries((value as TenantsYaml).tenants ?? {});
  return {
    text,
    tenants: new Map(
      entries.map(([id, tenant]) => [
        id,
        {
          id,
          name: tenant.name,
          ring: tenant.ring,
          hostnames: tenant.hostnames ?? [],
          modules: tenant.modules ?? [],
          reason: tenant.reason,
          since: tenant.since,
        },
      ]),
    ),
  };
}

interface TenantsYaml {
  readonly tenants: Readonly<
    Record<
      string,
      {
        readonly name?: string;
        readonly ring: string;
        readonly hostnames?: readonly string[];
        readonly modules?: readonly string[];
        readonly reason?: string;
        readonly since?: string;
      }
    >
  > | null;
}

/**
 * The file's text with tenants on another ring; comments and order stay.
 *
 * @param ids of tenants that the file has
 * @param fields `since` is a date, `2026-11-24`
 */
export function withTenantsAssigned(
  file: TenantsFile,
  ids: ReadonlySet<string>,
  fields: { readonly ring: string; readonly reason: string; readonly since: string },
): string {
  const text = editedOneByOne(file, ids, fields);
  if (text !== undefined) return text;
  return [...ids].reduce((edited, id) => withFields(edited, id, fields), file.text);
}

type Fields = Readonly<Record<'ring' | 'reason' | 'since', string>>;

function withFields(text: string, id: string, fields: Fields): string {
  return Object.entries(fields).reduce(
    (edited, [key, value]) => withYamlValue(edited, ['tenants', id, key], value),
    text,
  );
}

/** In time that does not grow with the square of their number; undefined where that is not right. */
function editedOneByOne(
  file: TenantsFile,
  ids: ReadonlySet<string>,
  fields: Fields,
): string | undefined {
  try {
    const edit = (entry: string, id: string) => withFields(entry, id, fields);
    const text = editEntries(file.text, 'tenants', ids, edit);
    return text !== undefined && hasFields(text, file, ids, fields) ? text : undefined;
  } catch {
    // An entry that repeats what is anchored in another one cannot be read by itself.
    return undefined;
  }
}

/** Whether a text is the file with the fields of these tenants, and nothing else. */
function hasFields(
  text: string,
  { tenants }: TenantsFile,
  ids: ReadonlySet<string>,
  fields: Fields,
): boolean {
  const found = parseTenantsFile(text).tenants;
  const expected = [...tenants].map(([id, tenant]) =>
    ids.has(id) ? [id, { ...tenant, ...fields }] : [id, tenant],
  );
  return isDeepStrictEqual([...found], expected);
}

/** @throws RinglockError `unknown-tenant`, naming the tenants there are */
export function requireTenant({ tenants }: TenantsFile, id: string): Tenant {
  const tenant = tenants.get(id);
  if (tenant !== undefined) return tenant;
  throw refused('unknown-tenant', `${tenantsFile} has no tenant ${JSON.stringify(id)}`, {
    hint: `Tenants there: ${[...tenants.keys()].sort().join(', ') || 'none'}.`,
  });
}

/** Whoever has hostnames: a tenant, or a ring for itself. */
interface HostnameOwner {
  readonly hostnames: readonly string[];
}

/**
 * Hostnames that are claimed more than once, a line each: a router could send them to one only.
 *
 * @param rings by name; left out, only tenants are compared
 */
export function findHostnameClaims(
  tenants: ReadonlyMap<string, HostnameOwner>,
  rings: ReadonlyMap<string, HostnameOwner> = new Map(),
): string[] {
  const claims = new Map<string, string[]>();
  const owners = [
    ...[...rings].map(([name, owner]) => [`ring ${name}`, owner] as const),
    ...[...tenants].map(([id, owner]) => [`tenant ${id}`, owner] as const),
  ];
  for (const [name, { hostnames }] of owners) {
    for (const hostname of hostnames) {
      claims.set(hostname, [...(claims.get(hostname) ?? []), name]);
    }
  }
  return [...claims]
    .filter(([, names]) => names.length > 1)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([hostname, names]) => `${hostname} is a hostname of ${names.join(' and of ')}`);
}
