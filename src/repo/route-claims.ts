import { badInput, type RinglockError, refused } from '../errors.ts';
import { manifestsDirectory, ringFile, tenantsFile } from './names.ts';
import type { Ring } from './ring.ts';
import { type FilePath, lineFinder } from './source-text.ts';
import type { TenantsFile } from './tenants.ts';

/** Where a platform's requests go: each routed ring with whoever has hostnames there. */
export interface RouteTable {
  /** By name, sorted; rings without a hostname are left out, but for the default one. */
  readonly rings: readonly RoutedRing[];
  /** Where hostnames go that nobody claims; undefined: nowhere. */
  readonly defaultRing: string | undefined;
}

export interface RoutedRing {
  readonly name: string;
  readonly namespace: string;
  readonly isDefault: boolean;
  /** The ring itself first, then its tenants by id; each with at least one hostname. */
  readonly claimants: readonly Claimant[];
}

/** Whoever a manifest gives hostnames. */
export interface Claimant {
  readonly kind: 'ring' | 'tenant';
  readonly id: string;
  readonly ring: string;
  /** Sorted; `*.` before a name stands for names below it. */
  readonly hostnames: readonly string[];
}

/** What the manifests say about hostnames. */
export interface HostnameSources {
  readonly rings: ReadonlyMap<string, Ring>;
  readonly tenants: TenantsFile | undefined;
  /** The text of each ring's file by ring, for the lines in messages. */
  readonly ringTexts: ReadonlyMap<string, string>;
}

/**
 * Decides which ring answers for which hostname.
 *
 * @throws RinglockError `hostname-claimed-twice`, `hostname-not-routable`, `unknown-ring`,
 *   `ring-without-namespace`, `namespace-shared`, `two-defaults`, `nothing-to-route`; each names every
 *   place at fault, with its line
 */
export function routeTable(sources: HostnameSources): RouteTable {
  const { rings } = sources;
  const claimants = claimantsOf(sources);
  const defaults = [...rings.values()].filter(({ isDefault }) => isDefault);
  refuseDefaults(sources, defaults);
  refuseUnknownRings(sources, claimants);
  refuseHostnames(sources, claimants);
  const routed = [...rings.values()]
    .map((ring) => ({ ring, claimants: claimants.filter(({ ring: name }) => name === ring.name) }))
    .filter(({ ring, claimants: own }) => ring.isDefault || own.length > 0);
  if (routed.length === 0) {
    throw badInput('nothing-to-route', 'no ring and no tenant has a hostname', {
      hint: `Give \`hostnames\` in ${manifestsDirectory}/<ring>.ring.yaml or ${tenantsFile}.`,
    });
  }
  return {
    rings: requireNamespaces(routed).sort((a, b) => compare(a.name, b.name)),
    defaultRing: defaults[0]?.name,
  };
}

/** A claimant as people call it: `tenant acme`. */
export function claimantName({ kind, id }: Claimant): string {
  return `${kind} ${id}`;
}

/** With hostnames, in a fixed order: rings before tenants, each by name. */
function claimantsOf({ rings, tenants }: HostnameSources): Claimant[] {
  const ofRings = [...rings.values()].map(({ name, hostnames }) => ({
    ...({ kind: 'ring', id: name, ring: name } as const),
    hostnames,
  }));
  const ofTenants = [...(tenants?.tenants.values() ?? [])].map(({ id, ring, hostnames }) => ({
    ...({ kind: 'tenant', id, ring } as const),
    hostnames,
  }));
  return [ofRings, ofTenants].flatMap((group) =>
    group
      .filter(({ hostnames }) => hostnames.length > 0)
      .map((claimant) => ({ ...claimant, hostnames: [...claimant.hostnames].sort(compare) }))
      .sort((a, b) => compare(a.id, b.id)),
  );
}

function refuseDefaults(sources: HostnameSources, defaults: readonly Ring[]): void {
  if (defaults.length <= 1) return;
  const place = placeFinder(sources);
  const places = defaults.map(({ name }) => place('ring', name, ['default'])).join(' and ');
  throw refused('two-defaults', `${places} say \`default: true\`, expected one ring to say so`);
}

function refuseUnknownRings(sources: HostnameSources, claimants: readonly Claimant[]): void {
  const { rings } = sources;
  const lost = claimants.filter(({ ring }) => !rings.has(ring));
  if (lost.length === 0) return;
  const place = placeFinder(sources);
  const said = lost.map(
    ({ kind, id, ring }) =>
      `${place(kind, id, ['tenants', id, 'ring'])}: ${kind} ${id} sits on ${ring}, which is no ring`,
  );
  throw refused('unknown-ring', said.join('\n'), {
    hint: `Rings there: ${[...rings.keys()].sort(compare).join(', ') || 'none'}.`,
  });
}

/** Of every hostname that two claim, and every one that a router cannot have, all at once. */
function refuseHostnames(sources: HostnameSources, claimants: readonly Claimant[]): void {
  const owners = new Map<string, Claimant[]>();
  for (const claimant of claimants) {
    for (const hostname of claimant.hostnames) {
      owners.set(hostname, [...(owners.get(hostname) ?? []), claimant]);
    }
  }
  const disputed = [...owners].filter(([, claiming]) => claiming.length > 1);
  const addresses = [...owners].filter(([hostname]) => /^\d+(\.\d+){3}$/.test(hostname));
  if (disputed.length === 0 && addresses.length === 0) return;
  const place = placeFinder(sources);
  const at = (hostname: string, claimant: Claimant) =>
    `${claimantName(claimant)} (${hostnamePlace(sources, place, claimant, hostname)})`;
  if (disputed.length > 0) throw claimedTwice(disputed, at);
  const said = addresses.map(
    ([hostname, [owner]]) => `${hostname} of ${owner && at(hostname, owner)} is an address`,
  );
  throw badInput('hostname-not-routable', `${said.join('\n')}, expected a DNS name`);
}

function claimedTwice(
  disputed: readonly [string, readonly Claimant[]][],
  at: (hostname: string, claimant: Claimant) => string,
): RinglockError {
  const said = [...disputed]
    .sort(([a], [b]) => compare(a, b))
    .map(
      ([hostname, claiming]) =>
        `${hostname} is claimed by ${claiming.map((claimant) => at(hostname, claimant)).join(' and by ')}`,
    );
  return refused('hostname-claimed-twice', said.join('\n'), {
    hint: 'One ring answers for a hostname: take it from all but one of them.',
    details: {
      hostnames: Object.fromEntries(
        disputed.map(([hostname, claiming]) => [hostname, claiming.map(claimantName)]),
      ),
    },
  });
}

type PlaceFinder = (kind: Claimant['kind'], id: string, path: FilePath) => string;

/** `manifests/tenants.yaml:12`; each file is parsed once, and only for a message. */
function placeFinder({ tenants, ringTexts }: HostnameSources): PlaceFinder {
  const finders = new Map<string, ReturnType<typeof lineFinder>>();
  return (kind, id, path) => {
    const file = kind === 'ring' ? ringFile(id) : tenantsFile;
    const text = kind === 'ring' ? ringTexts.get(id) : tenants?.text;
    const finder = finders.get(file) ?? lineFinder(text ?? '');
    finders.set(file, finder);
    const line = finder(path);
    return line === undefined ? file : `${file}:${line}`;
  };
}

function hostnamePlace(
  { rings, tenants }: HostnameSources,
  place: PlaceFinder,
  { kind, id }: Claimant,
  hostname: string,
): string {
  const listed = kind === 'ring' ? rings.get(id) : tenants?.tenants.get(id);
  const index = listed?.hostnames.indexOf(hostname) ?? -1;
  const path = [...(kind === 'ring' ? [] : ['tenants', id]), 'hostnames', index];
  return place(kind, id, path);
}

function requireNamespaces(
  routed: readonly { readonly ring: Ring; readonly claimants: readonly Claimant[] }[],
): RoutedRing[] {
  const owners = new Map<string, string>();
  return routed.map(({ ring: { name, namespace, isDefault }, claimants }) => {
    if (namespace === undefined) {
      throw badInput(
        'ring-without-namespace',
        `${ringFile(name)} has no namespace, where its routes would lie`,
        { hint: 'Add `namespace: …`, the one that its overlay has.' },
      );
    }
    const other = owners.get(namespace);
    if (other !== undefined) {
      throw refused(
        'namespace-shared',
        `${ringFile(other)} and ${ringFile(name)} both have the namespace ${namespace}, expected one each`,
        { hint: 'A namespace has one service for requests, so it cannot serve two rings.' },
      );
    }
    owners.set(namespace, name);
    return { name, namespace, isDefault, claimants };
  });
}

/** Bytewise for what hostnames and ids consist of: the same order on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
