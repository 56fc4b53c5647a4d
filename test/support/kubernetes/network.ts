import {
  type KubernetesObject,
  type LabelSelector,
  type Labels,
  selects,
  workloadsOf,
} from './objects.ts';

/** One end of a connection: a pod of a workload, any pod of a namespace, or an address outside. */
export type End =
  | { readonly namespace: string; readonly labels: Labels }
  | { readonly address: string };

interface Peer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly protocol?: string; readonly port?: number | string }[];
}

/** A pod of the workload; throws when there is none. */
export function podOf(objects: readonly KubernetesObject[], namespace: string, name: string): End {
  const found = workloadsOf(objects).find(
    (workload) => workload.namespace === namespace && workload.name === name,
  );
  if (found === undefined) throw new Error(`there is no workload ${namespace}/${name}`);
  return { namespace, labels: found.labels };
}

/** Whether the network policies let one end open a TCP connection to the other, as Kubernetes reads them. */
export function mayConnect(
  objects: readonly KubernetesObject[],
  from: End,
  to: End,
  port: number,
): boolean {
  const reach = (here: End, there: End, direction: 'Ingress' | 'Egress') => {
    if ('address' in here) return true;
    const policies = policiesOf(objects, here).filter(({ spec }) =>
      (spec.policyTypes ?? []).includes(direction),
    );
    if (policies.length === 0) return true;
    // A port's name is the name that the pod reached gives it.
    const names = 'address' in to ? [] : portNames(objects, to, port);
    return policies.some(({ spec }) =>
      ((direction === 'Ingress' ? spec.ingress : spec.egress) ?? []).some(
        ({ from: sources, to: targets, ports }: Rule) =>
          matchesPort(ports, port, names) &&
          matchesPeer(objects, direction === 'Ingress' ? sources : targets, there, here.namespace),
      ),
    );
  };
  return reach(from, to, 'Egress') && reach(to, from, 'Ingress');
}

function policiesOf(
  objects: readonly KubernetesObject[],
  { namespace, labels }: { readonly namespace: string; readonly labels: Labels },
): readonly KubernetesObject[] {
  return objects.filter(
    ({ kind, metadata, spec }) =>
      kind === 'NetworkPolicy' &&
      metadata.namespace === namespace &&
      selects(spec.podSelector, labels),
  );
}

function matchesPort(ports: Rule['ports'], port: number, names: readonly string[]): boolean {
  if (ports === undefined) return true;
  return ports.some(
    (allowed) =>
      (allowed.protocol ?? 'TCP') === 'TCP' &&
      (allowed.port === undefined || allowed.port === port || names.includes(String(allowed.port))),
  );
}

function matchesPeer(
  objects: readonly KubernetesObject[],
  peers: readonly Peer[] | undefined,
  end: End,
  namespace: string,
): boolean {
  if (peers === undefined) return true;
  return peers.some(({ podSelector, namespaceSelector, ipBlock }) => {
    if ('address' in end) return ipBlock !== undefined && contains(ipBlock, end.address);
    if (ipBlock !== undefined) return false;
    const isThere =
      namespaceSelector === undefined
        ? end.namespace === namespace
        : selects(namespaceSelector, namespaceLabels(objects, end.namespace));
    return isThere && (podSelector === undefined || selects(podSelector, end.labels));
  });
}

function namespaceLabels(objects: readonly KubernetesObject[], name: string): Labels {
  const found = objects.find(
    ({ kind, metadata }) => kind === 'Namespace' && metadata.name === name,
  );
  return { ...found?.metadata.labels, 'kubernetes.io/metadata.name': name };
}

function portNames(
  objects: readonly KubernetesObject[],
  { namespace, labels }: { readonly namespace: string; readonly labels: Labels },
  port: number,
): readonly string[] {
  return workloadsOf(objects)
    .filter((workload) => workload.namespace === namespace && workload.labels === labels)
    .flatMap(({ pod }) => pod.containers.flatMap(({ ports = [] }) => ports))
    .flatMap(({ containerPort, name }) => (containerPort === port && name ? [name] : []));
}

function contains(
  { cidr, except = [] }: { readonly cidr: string; readonly except?: readonly string[] },
  address: string,
): boolean {
  return isIn(cidr, address) && !except.some((block) => isIn(block, address));
}

function isIn(cidr: string, address: string): boolean {
  const [network = '', bits = '32'] = cidr.split('/');
  if (network.includes(':')) return false;
  const number = (text: string) =>
    text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(network) / size) === Math.floor(number(address) / size);
}
