import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAllDocuments } from 'yaml';
import { RinglockError } from '../../src/errors.ts';
import { parseRingFile } from '../../src/repo/ring.ts';
import { type HostnameSources, routeTable } from '../../src/repo/route-claims.ts';
import { routeFiles } from '../../src/repo/route-files.ts';
import { type RouteApi, routeSettings } from '../../src/repo/route-settings.ts';
import { parseTenantsFile } from '../../src/repo/tenants.ts';
import type { KubernetesObject } from '../support/kubernetes/objects.ts';
import { typeProblems } from '../support/kubernetes/types.ts';

const settings = routeSettings({ gateway: { name: 'front', namespace: 'gateways' } });

const stable = 'namespace: prod\nhostnames: [example.com, "*.example.com"]\ndefault: true\n';
const edge = 'namespace: prod-edge\nhostnames:\n  - edge.example.com\n';

function sources(
  rings: Readonly<Record<string, string>>,
  tenants = 'tenants: {}\n',
): HostnameSources {
  const entries = Object.entries(rings);
  return {
    rings: new Map(entries.map(([name, text]) => [name, parseRingFile(text, name).ring])),
    tenants: parseTenantsFile(tenants),
    ringTexts: new Map(entries),
  };
}

function render(
  api: RouteApi,
  given: HostnameSources,
  how = settings,
): Map<string, KubernetesObject[]> {
  const files = routeFiles(api, routeTable(given), how);
  return new Map(
    [...files]
      .filter(([path]) => !path.endsWith('/kustomization.yaml'))
      .map(([path, text]) => [path, parseAllDocuments(text).map((one) => one.toJS())]),
  );
}

function refusal(given: HostnameSources): RinglockError {
  try {
    routeTable(given);
  } catch (error) {
    assert.ok(error instanceof RinglockError);
    return error;
  }
  return assert.fail('nothing was refused');
}

/** Where a request for a host goes: as both APIs have it, an exact name wins over the longest wildcard. */
function destination(objects: readonly KubernetesObject[], host: string): string | undefined {
  const claims = objects.flatMap(({ kind, metadata, spec }) => {
    const names: readonly string[] =
      kind === 'Ingress'
        ? (spec.rules ?? []).map((rule: { host: string }) => rule.host)
        : (spec.hostnames ?? []);
    const claimed = names.map((name) => ({ name, namespace: metadata.namespace }));
    const isCatchAll = names.length === 0;
    return isCatchAll ? [{ name: '', namespace: metadata.namespace }] : claimed;
  });
  const fits = ({ name }: { name: string }) =>
    name === '' || name === host || (name.startsWith('*.') && host.endsWith(name.slice(1)));
  const rank = ({ name }: { name: string }) => (name === host ? 1000 : name.length);
  return claims.filter(fits).sort((a, b) => rank(b) - rank(a))[0]?.namespace;
}

test('each hostname leads to the service beside it, exact names before wildcards', () => {
  const given = sources(
    { stable, edge },
    'tenants:\n  acme: { ring: edge, hostnames: [acme.example.com, acme.org] }\n  foo: { ring: stable }\n',
  );
  for (const api of ['ingress', 'gateway'] as const) {
    const files = render(api, given);
    const objects = [...files.values()].flat();
    assert.deepEqual(objects.flatMap(typeProblems), []);
    for (const [host, expected] of [
      ['example.com', 'prod'],
      ['shop.example.com', 'prod'],
      ['acme.example.com', 'prod-edge'],
      ['edge.example.com', 'prod-edge'],
      ['acme.org', 'prod-edge'],
      ['nobody.net', 'prod'],
    ] as const) {
      assert.equal(destination(objects, host), expected, `${api}: ${host}`);
    }
    for (const { spec } of objects) {
      const text = JSON.stringify(spec);
      assert.match(text, /"name":"nginx"/);
      assert.doesNotMatch(
        text,
        /backendRefs":\[\{[^}]*namespace/,
        'no service of another namespace',
      );
    }
  }
  const routes = [...render('gateway', given).values()].flat();
  assert.deepEqual(routes.map(({ spec }) => spec.parentRefs)[0], [
    { name: 'front', namespace: 'gateways' },
  ]);
});

test('a hostname claimed twice is refused with both claimants, files and lines, all at once', () => {
  const given = sources(
    { stable, edge: `${edge}  - twice.example.com\n` },
    [
      'tenants:',
      '  acme:',
      '    ring: edge',
      '    hostnames:',
      '      - example.com',
      '      - acme.org',
      '  foo:',
      '    ring: stable',
      '    hostnames: [twice.example.com, acme.org]',
      '',
    ].join('\n'),
  );
  const error = refusal(given);
  assert.equal(error.code, 'hostname-claimed-twice');
  assert.equal(error.exitCode, 1);
  assert.deepEqual(error.message.split('\n'), [
    'acme.org is claimed by tenant acme (manifests/tenants.yaml:6) and by tenant foo (manifests/tenants.yaml:9)',
    'example.com is claimed by ring stable (manifests/stable.ring.yaml:2) and by tenant acme (manifests/tenants.yaml:5)',
    'twice.example.com is claimed by ring edge (manifests/edge.ring.yaml:4) and by tenant foo (manifests/tenants.yaml:9)',
  ]);
});

test('what cannot be routed is refused with where it stands', () => {
  const lost = 'tenants:\n  acme:\n    ring: beta\n    hostnames: [acme.org]\n';
  for (const [given, code, message] of [
    [sources({ stable, edge }, lost), 'unknown-ring', /tenants\.yaml:3: tenant acme sits on beta/],
    [
      sources({ stable, edge: 'hostnames: [a.org]\n' }),
      'ring-without-namespace',
      /edge\.ring\.yaml has no namespace/,
    ],
    [
      sources({ stable, edge: 'namespace: prod\nhostnames: [a.org]\n' }),
      'namespace-shared',
      /stable\.ring\.yaml and manifests\/edge\.ring\.yaml both/,
    ],
    [
      sources({ stable, edge: `${edge}default: true\n` }),
      'two-defaults',
      /stable\.ring\.yaml:3 and manifests\/edge\.ring\.yaml:4/,
    ],
    [sources({ edge: 'namespace: prod\n' }), 'nothing-to-route', /no ring and no tenant/],
    [
      sources({ stable, edge: 'namespace: prod-edge\nhostnames: [10.0.0.7]\n' }),
      'hostname-not-routable',
      /10\.0\.0\.7 of ring edge \(manifests\/edge\.ring\.yaml:2\) is an address/,
    ],
  ] as const) {
    const error = refusal(given);
    assert.equal(error.code, code);
    assert.match(error.message, message);
  }
  const table = routeTable(sources({ stable }));
  assert.throws(() => routeFiles('gateway', table, routeSettings()), { code: 'gateway-not-named' });
});

test('a platform without a default ring routes what is claimed and nothing else', () => {
  const objects = [...render('ingress', sources({ edge })).values()].flat();
  assert.equal(destination(objects, 'edge.example.com'), 'prod-edge');
  assert.equal(destination(objects, 'nobody.net'), undefined);
});

test('settings name the class, annotations, certificates, service and listener', () => {
  const how = routeSettings({
    service: 'front',
    port: 8080,
    ingress: { class: 'traefik', annotations: { z: '1', a: '2' }, tls: true },
    gateway: { name: 'g', namespace: 'n', listener: 'https' },
  });
  assert.deepEqual(how.apis, ['gateway', 'ingress']);
  assert.deepEqual(routeSettings().apis, ['ingress']);
  const given = sources({ edge }, 'tenants:\n  acme: { ring: edge, hostnames: [b.org, a.org] }\n');
  const [ingress] =
    render('ingress', given, how).get('overlays/routes/ingress/edge.ring.yaml') ?? [];
  assert.deepEqual(typeProblems(ingress as KubernetesObject), []);
  assert.equal(ingress?.spec.ingressClassName, 'traefik');
  assert.deepEqual(ingress?.spec.tls, [
    { hosts: ['edge.example.com'], secretName: 'tls-ring' },
    { hosts: ['a.org', 'b.org'], secretName: 'tls-tenant-acme' },
  ]);
  assert.deepEqual(ingress?.spec.rules[0].http.paths[0].backend, {
    service: { name: 'front', port: { number: 8080 } },
  });
  const routes = render('gateway', given, how).get('overlays/routes/gateway/edge.ring.yaml') ?? [];
  assert.deepEqual(routes[1]?.spec.parentRefs, [
    { name: 'g', namespace: 'n', sectionName: 'https' },
  ]);
  assert.deepEqual(routes[1]?.spec.rules, [{ backendRefs: [{ name: 'front', port: 8080 }] }]);
});

test('any tenants give objects that Kubernetes takes, each hostname once, in any order of the file', () => {
  const id = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/);
  const tenants = fc.uniqueArray(fc.tuple(id, fc.integer({ min: 1, max: 40 }), fc.boolean()), {
    selector: ([name]) => name,
    maxLength: 6,
  });
  fc.assert(
    fc.property(tenants, (given) => {
      const lines = given.map(([name, count, isEdge], index) => {
        const hostnames = Array.from({ length: count }, (_, one) => `h${one}.t${index}.org`);
        return `  ${JSON.stringify(name)}: { ring: ${isEdge ? 'edge' : 'stable'}, hostnames: [${hostnames.join(', ')}] }\n`;
      });
      const of = (text: readonly string[]) =>
        sources(
          { stable, edge },
          text.length === 0 ? 'tenants: {}\n' : `tenants:\n${text.join('')}`,
        );
      for (const api of ['ingress', 'gateway'] as const) {
        const files = render(api, of(lines));
        const objects = [...files.values()].flat();
        assert.deepEqual(objects.flatMap(typeProblems), []);
        const names = objects.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
        assert.equal(new Set(names).size, names.length);
        for (const name of names) assert.match(name, dnsSubdomain);
        const hosts = objects.flatMap(({ kind, spec }) =>
          kind === 'Ingress'
            ? (spec.rules ?? []).map((rule: { host: string }) => rule.host)
            : (spec.hostnames ?? []),
        );
        assert.equal(hosts.length, new Set(hosts).size);
        assert.equal(hosts.length, 3 + given.reduce((sum, [, count]) => sum + count, 0));
        assert.deepEqual(
          routeFiles(api, routeTable(of([...lines].reverse())), settings),
          routeFiles(api, routeTable(of(lines)), settings),
        );
      }
    }),
    { numRuns: 12 },
  );
});

const dnsSubdomain = /^[a-z-]+\/[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

test('ids that read alike, and more hostnames than a route may have, keep objects apart', () => {
  const many = Array.from({ length: 17 }, (_, index) => `h${index}.org`).join(', ');
  const given = sources(
    { stable, edge },
    `tenants:\n  a-b: { ring: edge, hostnames: [${many}] }\n  a.b: { ring: edge, hostnames: [x.org] }\n  a_b: { ring: edge, hostnames: [y.org] }\n`,
  );
  const objects = render('gateway', given).get('overlays/routes/gateway/edge.ring.yaml') ?? [];
  assert.deepEqual(objects.flatMap(typeProblems), []);
  assert.deepEqual(
    objects.map(({ metadata, spec }) => [metadata.name, spec.hostnames.length]),
    [
      ['ring', 1],
      ['tenant-a-b', 16],
      ['tenant-a-b.2', 1],
      ['tenant-a-b-2e7336dc', 1],
      ['tenant-a-b-648fa9b3', 1],
    ],
  );
});

test('a ring with more hostnames than an Ingress should hold gets more of them', () => {
  const lines = Array.from(
    { length: 1200 },
    (_, index) => `  t${index}: { ring: edge, hostnames: [t${index}.org] }\n`,
  );
  const given = sources({ stable, edge }, `tenants:\n${lines.join('')}`);
  const objects = render('ingress', given).get('overlays/routes/ingress/edge.ring.yaml') ?? [];
  assert.deepEqual(
    objects.map(({ metadata, spec }) => [metadata.name, spec.rules.length]),
    [
      ['ring', 500],
      ['ring.2', 500],
      ['ring.3', 201],
    ],
  );
});
