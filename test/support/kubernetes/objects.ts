import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: Readonly<Record<string, unknown>>;
  }[];
  readonly envFrom?: readonly Readonly<Record<string, { readonly name: string }>>[];
  readonly ports?: readonly {
    readonly name?: string;
    readonly containerPort: number;
    readonly hostPort?: number;
  }[];
  readonly resources?: {
    readonly requests?: Labels;
    readonly limits?: Labels;
  };
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly volumeMounts?: readonly { readonly name: string; readonly subPath?: string }[];
  readonly startupProbe?: { readonly httpGet?: { readonly path: string } };
}

export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes?: readonly Readonly<Record<string, unknown>>[];
}

/** An object of a build; `spec` is whatever its kind has. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Labels;
  };
  readonly data?: Labels;
  // biome-ignore lint/suspicious/noExplicitAny: validated against the types of its kind by a test
  readonly spec?: any;
}

/** Something that makes pods, with the pods' labels and specification. */
export interface Workload {
  readonly object: KubernetesObject;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly pod: PodSpec;
}

export const repositoryTop = join(import.meta.dirname, '../../..');

const builder = [
  ['kubectl', 'kustomize'],
  ['kustomize', 'build'],
].find(([command = '']) => spawnSync(command, ['version', '--client']).error === undefined);
const required = process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1';

/** For the option `skip` of tests that build an overlay. */
export const cannotBuild =
  builder === undefined && !required && 'neither kubectl nor kustomize is installed';

const built = new Map<string, readonly KubernetesObject[]>();

/** What `kubectl kustomize` makes of a directory, from the repository's top; built once a process. */
export function buildOverlay(directory: string, top = repositoryTop): readonly KubernetesObject[] {
  const place = join(top, directory);
  const before = built.get(place);
  if (before !== undefined) return before;
  const [command = 'kubectl', verb = 'kustomize'] = builder ?? [];
  const { status, stdout, stderr, error } = spawnSync(command, [verb, place], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, error?.message ?? stderr);
  const objects = parseAllDocuments(stdout).map((document) => document.toJS() as KubernetesObject);
  built.set(place, objects);
  return objects;
}

export function workloadsOf(objects: readonly KubernetesObject[]): Workload[] {
  return objects
    .filter(({ spec }) => spec?.template?.spec !== undefined)
    .map((object) => ({
      object,
      namespace: object.metadata.namespace ?? 'default',
      name: object.metadata.name,
      labels: object.spec.template.metadata.labels ?? {},
      pod: object.spec.template.spec,
    }));
}

export function containersOf(pod: PodSpec): readonly Container[] {
  return [...(pod.initContainers ?? []), ...pod.containers];
}

/** `Deployment autocom/api`. */
export function nameOf({ kind, metadata }: KubernetesObject): string {
  return `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
}

/** As Kubernetes has it: an empty selector selects everything, an absent one nothing. */
export function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return false;
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      if (operator === 'In') return value !== undefined && values.includes(value);
      if (operator === 'NotIn') return value === undefined || !values.includes(value);
      throw new Error(`the operator ${operator} is none of Kubernetes'`);
    })
  );
}
