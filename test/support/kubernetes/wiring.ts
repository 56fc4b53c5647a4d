import {
  containersOf,
  type KubernetesObject,
  nameOf,
  type PodSpec,
  selects,
  type Workload,
  workloadsOf,
} from './objects.ts';

/** Secrets that are made by hand (docs/kubernetes.md), so no build has them. */
const secretsMadeByHand = new Set(['ringlock', 'application', 'postgres']);

/** Selectors that select nothing or too much, and ports of services that no container has. */
export function selectorProblems(objects: readonly KubernetesObject[]): string[] {
  const workloads = workloadsOf(objects);
  const selectedBy = (object: KubernetesObject, selector: object) =>
    workloads.filter(
      ({ namespace, labels }) =>
        namespace === object.metadata.namespace && selects(selector, labels),
    );
  return objects.flatMap((object) => {
    const { kind, spec } = object;
    const selector = kind === 'Service' ? { matchLabels: spec.selector } : spec?.selector;
    const isAlias = kind === 'Service' && spec.type === 'ExternalName';
    if (
      isAlias ||
      !['Service', 'PodDisruptionBudget', 'Deployment', 'StatefulSet'].includes(kind)
    ) {
      return [];
    }
    const selected = selectedBy(object, selector);
    if (selected.length === 0) return [`${nameOf(object)} selects no pod`];
    if (kind === 'Service') return selected.flatMap((workload) => portProblems(object, workload));
    const wanted = object.metadata.name;
    const others = selected.filter(({ name }) => name !== wanted);
    return others.map(({ name }) => `${nameOf(object)} selects the pods of ${name} too`);
  });
}

function portProblems(service: KubernetesObject, { name, pod }: Workload): string[] {
  const ports = containersOf(pod).flatMap(({ ports: own = [] }) => own);
  // Of a native sidecar by number alone: not every Kubernetes finds its named ports.
  const names = pod.containers.flatMap(({ ports: own = [] }) => own.map((port) => port.name));
  return service.spec.ports.flatMap(({ targetPort }: { readonly targetPort: string | number }) => {
    const isThere =
      typeof targetPort === 'number'
        ? ports.some(({ containerPort }) => containerPort === targetPort)
        : names.includes(targetPort);
    return isThere
      ? []
      : [`${nameOf(service)}: no container of ${name} has the port ${targetPort}`];
  });
}

/** Aliases that name a service which is not there. `everything` is the whole cluster. */
export function aliasProblems(everything: readonly KubernetesObject[]): string[] {
  const services = new Set(
    everything
      .filter(({ kind, spec }) => kind === 'Service' && spec.type !== 'ExternalName')
      .map(({ metadata }) => `${metadata.name}.${metadata.namespace}.svc.cluster.local`),
  );
  return everything.flatMap((object) => {
    const { externalName } = object.kind === 'Service' ? object.spec : {};
    if (externalName === undefined || services.has(externalName)) return [];
    return [`${nameOf(object)} is an alias of ${externalName}, which is not there`];
  });
}

/** Backends of routes that are no service, with that port, in the route's own namespace. */
export function backendProblems(everything: readonly KubernetesObject[]): string[] {
  const ports = new Set(
    everything
      .filter(({ kind }) => kind === 'Service')
      .flatMap(({ metadata, spec }) =>
        (spec.ports ?? []).map(
          ({ port }: { readonly port: number }) => `${metadata.namespace}/${metadata.name}:${port}`,
        ),
      ),
  );
  return everything.flatMap((object) =>
    backendsOf(object)
      .map((backend) => `${object.metadata.namespace}/${backend}`)
      .filter((backend) => !ports.has(backend))
      .map((backend) => `${nameOf(object)} leads to ${backend}, which is not there`),
  );
}

function backendsOf({ kind, spec }: KubernetesObject): string[] {
  if (kind === 'HTTPRoute') {
    return spec.rules.flatMap((rule: { readonly backendRefs: readonly HttpBackend[] }) =>
      rule.backendRefs.map(({ name, port }) => `${name}:${port}`),
    );
  }
  if (kind !== 'Ingress') return [];
  const rules = (spec.rules ?? []) as readonly IngressRule[];
  const backends = rules.flatMap(({ http }) => http.paths.map(({ backend }) => backend));
  if (spec.defaultBackend !== undefined) backends.push(spec.defaultBackend);
  return backends.map(({ service }) => `${service.name}:${service.port.number}`);
}

interface HttpBackend {
  readonly name: string;
  readonly port: number;
}

interface IngressRule {
  readonly http: { readonly paths: readonly { readonly backend: IngressBackend }[] };
}

interface IngressBackend {
  readonly service: { readonly name: string; readonly port: { readonly number: number } };
}

/** Config maps, secrets, claims, accounts and volumes that pods name and nobody makes. */
export function referenceProblems(objects: readonly KubernetesObject[]): string[] {
  const made = new Set(objects.map(nameOf));
  return workloadsOf(objects).flatMap(({ object, namespace, pod }) => {
    const missing = referencesOf(pod).filter(([kind, name]) => {
      if (kind === 'Secret') return !secretsMadeByHand.has(name);
      return !made.has(`${kind} ${namespace}/${name}`);
    });
    const claimed = (object.spec.volumeClaimTemplates ?? []) as readonly KubernetesObject[];
    const volumes = new Set([
      ...(pod.volumes ?? []).map(({ name }) => name),
      ...claimed.map(({ metadata }) => metadata.name),
    ]);
    const mounts = containersOf(pod).flatMap(({ volumeMounts = [] }) => volumeMounts);
    const mounted = new Set(mounts.map(({ name }) => name));
    return [
      ...missing.map(
        ([kind, name]) => `${nameOf(object)} names ${kind} ${name}, which is not there`,
      ),
      ...[...mounted]
        .filter((name) => !volumes.has(name))
        .map((name) => `${nameOf(object)} mounts ${name}, which is no volume of it`),
      ...[...volumes]
        .filter((name) => !mounted.has(name as string))
        .map((name) => `${nameOf(object)} has the volume ${name} and mounts it nowhere`),
    ];
  });
}

function referencesOf(pod: PodSpec): [kind: string, name: string][] {
  const found: [string, string][] = [['ServiceAccount', pod.serviceAccountName ?? 'default']];
  const keys = { configMap: 'ConfigMap', configMapRef: 'ConfigMap', configMapKeyRef: 'ConfigMap' };
  const kinds: Readonly<Record<string, string>> = {
    ...keys,
    ...{ secret: 'Secret', secretRef: 'Secret', secretKeyRef: 'Secret' },
    persistentVolumeClaim: 'PersistentVolumeClaim',
  };
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, child] of Object.entries(value)) {
      const kind = kinds[key];
      const name = child?.name ?? child?.secretName ?? child?.claimName;
      if (kind !== undefined && typeof name === 'string') found.push([kind, name]);
      walk(child);
    }
  };
  walk(pod);
  return found;
}

/** Secrets that reach a process as values: in the environment they stay as they were at its start. */
export function secretsAsValues({ object, pod }: Workload): string[] {
  return containersOf(pod).flatMap(({ name, env = [], envFrom = [] }) => [
    ...env
      .filter(({ valueFrom }) => valueFrom?.['secretKeyRef'] !== undefined)
      .map((variable) => `${nameOf(object)}: ${name} gets ${variable.name} as a value`),
    ...envFrom
      .filter((source) => source['secretRef'] !== undefined)
      .map(() => `${nameOf(object)}: ${name} gets a whole secret as values`),
  ]);
}

/** Pods that no policy shuts in both directions. */
export function openPods(objects: readonly KubernetesObject[]): string[] {
  const shut = objects.filter(
    ({ kind, spec }) =>
      kind === 'NetworkPolicy' &&
      ['Ingress', 'Egress'].every((type) => spec.policyTypes?.includes(type)) &&
      spec.ingress === undefined &&
      spec.egress === undefined,
  );
  return workloadsOf(objects)
    .filter(
      ({ namespace, labels }) =>
        !shut.some(
          ({ metadata, spec }) =>
            metadata.namespace === namespace && selects(spec.podSelector, labels),
        ),
    )
    .map(({ object }) => `${nameOf(object)}: no policy denies by default`);
}

/** Containers without requests or a limit of memory, and images without a version. */
export function resourceProblems({ object, pod }: Workload): string[] {
  return containersOf(pod).flatMap(({ name, image, resources: { requests, limits } = {} }) => [
    ...(requests?.['cpu'] && requests['memory'] && limits?.['memory']
      ? []
      : [`${nameOf(object)}: ${name} lacks requests or a limit of memory`]),
    ...(/:(?!latest$)[\w.-]+$|@sha256:[0-9a-f]{64}$/.test(image)
      ? []
      : [`${nameOf(object)}: ${image} says no version`]),
  ]);
}

/** Containers that may write to their image's file system. */
export function writableContainers({ namespace, name: owner, pod }: Workload): string[] {
  return containersOf(pod)
    .filter(({ securityContext }) => securityContext?.['readOnlyRootFilesystem'] !== true)
    .map(({ name }) => `${namespace}/${owner}/${name}`);
}
