import { createHash } from 'node:crypto';
import { Document, isMap } from 'yaml';
import { type Claimant, claimantName, type RoutedRing, type RouteTable } from './route-claims.ts';
import { type RouteApi, type RouteSettings, requireGateway } from './route-settings.ts';
import { yamlStyle } from './yaml-edit.ts';

/** The first line of every file that `ring routes` writes; a file without it belongs to somebody. */
export const generatedMark =
  '# Written by `ringlock ring routes` from manifests/: edit those, not this.';

/** Where the routes of an API are, from the repository's top. */
export function routesDirectory(api: RouteApi): string {
  return `overlays/routes/${api}`;
}

/** Far below what an object may have (1.5 MiB), and what controllers read at once. */
const hostnamesPerIngress = 500;
/** The Gateway API allows no more in one HTTPRoute. */
const hostnamesPerRoute = 16;

/**
 * The files that route a table's hostnames to the services of their rings, by path: the same bytes for the
 * same table and settings. Objects of a ring lie in its namespace, beside the service they name, since
 * neither API lets a route reach another namespace's service by itself.
 *
 * @throws RinglockError `gateway-not-named`
 */
export function routeFiles(
  api: RouteApi,
  table: RouteTable,
  settings: RouteSettings,
): ReadonlyMap<string, string> {
  const directory = routesDirectory(api);
  const objectsOf = api === 'ingress' ? ingresses : httpRoutes;
  const files = table.rings.map(
    (ring) =>
      [`${ring.name}.ring.yaml`, objectsOf(ring, settings).map(toYaml).join('---\n')] as const,
  );
  const kustomization = toYaml({
    value: {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: files.map(([name]) => name),
    },
  });
  return new Map(
    [...files, ['kustomization.yaml', kustomization] as const].map(([name, text]) => [
      `${directory}/${name}`,
      `${generatedMark}\n${text}`,
    ]),
  );
}

/** An object to be written. */
interface Rendered {
  readonly value: object;
  /** What it is for, above it. */
  readonly comment?: string;
  /** The same above each of `spec.rules`. */
  readonly ruleComments?: readonly string[];
}

function ingresses(ring: RoutedRing, settings: RouteSettings): Rendered[] {
  const { service, port, ingress } = settings;
  const backend = { service: { name: service, port: { number: port } } };
  const named = claimantsInParts(ring.claimants).map((claimants, index) => {
    const rules = claimants.flatMap((claimant) =>
      claimant.hostnames.map((host) => ({ host, claimant })),
    );
    return {
      value: {
        ...ingressHead(numbered('ring', index), ring, settings),
        spec: {
          ingressClassName: ingress.className,
          ...(ingress.tls && { tls: claimants.map(certificate) }),
          rules: rules.map(({ host }) => ({
            host,
            http: { paths: [{ path: '/', pathType: 'Prefix', backend }] },
          })),
        },
      },
      ruleComments: rules.map(({ claimant }) => claimantName(claimant)),
    };
  });
  const unknown = {
    value: {
      ...ingressHead('unknown-hostnames', ring, settings),
      spec: { ingressClassName: ingress.className, defaultBackend: backend },
    },
    comment: 'whatever nobody claims',
  };
  return ring.isDefault ? [...named, unknown] : named;
}

/** A claimant stays whole, since its hostnames share a certificate. */
function claimantsInParts(claimants: readonly Claimant[]): Claimant[][] {
  const parts: Claimant[][] = [];
  let count = 0;
  for (const claimant of claimants) {
    const part = parts.at(-1);
    count += claimant.hostnames.length;
    if (part !== undefined && count <= hostnamesPerIngress) {
      part.push(claimant);
    } else {
      parts.push([claimant]);
      count = claimant.hostnames.length;
    }
  }
  return parts;
}

function ingressHead(name: string, ring: RoutedRing, { ingress }: RouteSettings): object {
  const { annotations } = ingress;
  const sorted = Object.fromEntries(
    Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      ...metadata(name, ring, 'ingress'),
      ...(Object.keys(sorted).length > 0 && { annotations: sorted }),
    },
  };
}

/** One secret a claimant, so that a tenant's certificate is made, renewed and removed with it. */
function certificate(claimant: Claimant): object {
  return { hosts: claimant.hostnames, secretName: `tls-${objectName(claimant)}` };
}

function httpRoutes(ring: RoutedRing, settings: RouteSettings): Rendered[] {
  const { service, port } = settings;
  const { name, namespace, listener } = requireGateway(settings);
  const route = (
    objectName: string,
    hostnames: readonly string[] | undefined,
    comment: string,
  ) => ({
    value: {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: metadata(objectName, ring, 'gateway'),
      spec: {
        parentRefs: [{ name, namespace, ...(listener !== undefined && { sectionName: listener }) }],
        ...(hostnames !== undefined && { hostnames }),
        rules: [{ backendRefs: [{ name: service, port }] }],
      },
    },
    comment,
  });
  const named = ring.claimants.flatMap((claimant) =>
    inParts(claimant.hostnames, hostnamesPerRoute).map((part, index) =>
      route(numbered(objectName(claimant), index), part, claimantName(claimant)),
    ),
  );
  const unknown = route('unknown-hostnames', undefined, 'whatever nobody claims');
  return ring.isDefault ? [...named, unknown] : named;
}

function metadata(name: string, ring: RoutedRing, api: RouteApi): object {
  return {
    name,
    namespace: ring.namespace,
    labels: { 'ringlock.dev/ring': ring.name, 'ringlock.dev/routes': api },
  };
}

/**
 * `ring`, or `tenant-acme`. An id that is no DNS label (`a_b`, `a.b`) gets a part of its digest, so that no
 * two ids have one name.
 */
function objectName({ kind, id }: Claimant): string {
  if (kind === 'ring') return 'ring';
  if (/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(id) && id.length <= 50) return `tenant-${id}`;
  const digest = createHash('sha256').update(id).digest('hex').slice(0, 8);
  const readable = id.replace(/[^a-z0-9]+/g, '-').slice(0, 40);
  return `tenant-${readable.replace(/-+$/, '')}-${digest}`;
}

function numbered(name: string, index: number): string {
  return index === 0 ? name : `${name}.${index + 1}`;
}

function inParts<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

function toYaml({ value, comment, ruleComments = [] }: Rendered): string {
  // Without anchors: an object that stands twice is written twice.
  const document = new Document(value, { aliasDuplicateObjects: false });
  for (const [index, claimant] of ruleComments.entries()) {
    const rule = document.getIn(['spec', 'rules', index]);
    if (isMap(rule)) rule.commentBefore = ` ${claimant}`;
  }
  const above = comment === undefined ? '' : `# ${comment}\n`;
  return above + document.toString({ ...yamlStyle, directives: false });
}
