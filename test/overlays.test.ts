import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseRingFile } from '../src/repo/ring.ts';

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
}

interface Resource {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly securityContext: Readonly<Record<string, unknown>>;
        readonly initContainers?: readonly Container[];
        readonly containers: readonly Container[];
      };
    };
  };
}

const root = join(import.meta.dirname, '..');
const builder = [
  ['kubectl', 'kustomize'],
  ['kustomize', 'build'],
].find(([command = '']) => spawnSync(command, ['version', '--client']).error === undefined);
const required = process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1';
const skip = builder === undefined && !required && 'neither kubectl nor kustomize is installed';

function build(overlay: string): Resource[] {
  const [command = 'kubectl', verb = 'kustomize'] = builder ?? [];
  const { status, stdout, stderr, error } = spawnSync(command, [verb, join(root, overlay)], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, error?.message ?? stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Resource);
}

function assertRestricted({ spec: { template } }: Resource): void {
  const { securityContext, initContainers = [], containers } = template.spec;
  assert.equal(securityContext['runAsNonRoot'], true);
  assert.deepEqual(securityContext['seccompProfile'], { type: 'RuntimeDefault' });
  for (const { securityContext: own } of [...initContainers, ...containers]) {
    assert.equal(own['allowPrivilegeEscalation'], false);
    assert.deepEqual(own['capabilities'], { drop: ['ALL'] });
  }
}

for (const name of ['stable', 'edge', 'canary']) {
  test(`the overlay of ${name} builds, in its ring's namespace, with its ring's name`, {
    skip,
  }, () => {
    const file = `manifests/${name}.ring.yaml`;
    const { ring } = parseRingFile(readFileSync(join(root, file), 'utf8'), name);
    const resources = build(`overlays/rings/${name}`);
    for (const { kind, metadata } of resources) {
      const namespace = kind === 'Namespace' ? metadata.name : metadata.namespace;
      assert.equal(namespace, ring.namespace, kind);
      assert.equal(metadata.labels?.['ringlock.dev/ring'], name, kind);
    }
    const namespace = resources.find(({ kind }) => kind === 'Namespace');
    assert.equal(namespace?.metadata.labels?.['pod-security.kubernetes.io/enforce'], 'restricted');
    const deployment = resources.find(({ kind }) => kind === 'Deployment');
    assert.ok(deployment);
    assert.equal(deployment.spec.template.metadata.labels['ringlock.dev/ring'], name);
    const [reconciler] = deployment.spec.template.spec.initContainers ?? [];
    assert.equal(reconciler?.restartPolicy, 'Always', 'a native sidecar');
    assert.equal(reconciler?.env?.find((one) => one.name === 'RING_NAME')?.value, name);
    assertRestricted(deployment);
  });
}

test('the shared overlay builds, once, beside the default ring', { skip }, () => {
  const resources = build('overlays/shared');
  assert.deepEqual(
    resources.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`),
    ['Service autocom/frontend', 'Deployment autocom/frontend'],
  );
  for (const resource of resources) if (resource.kind === 'Deployment') assertRestricted(resource);
});
