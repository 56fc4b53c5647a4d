// What test/overlays.test.ts asserts with, shown to see what it is for: one violation planted at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayConnect, podOf } from './support/kubernetes/network.ts';
import {
  buildOverlay,
  type KubernetesObject,
  nameOf,
  cannotBuild as skip,
  workloadsOf,
} from './support/kubernetes/objects.ts';
import { restrictedViolations } from './support/kubernetes/restricted.ts';
import { typeProblems } from './support/kubernetes/types.ts';
import {
  aliasProblems,
  backendProblems,
  openPods,
  referenceProblems,
  resourceProblems,
  secretsAsValues,
  selectorProblems,
  writableContainers,
} from './support/kubernetes/wiring.ts';

// biome-ignore lint/suspicious/noExplicitAny: whatever a violation is planted in
type Planted = any;

/** The objects of production with one of them changed. */
function planted(name: string, change: (object: Planted) => void): KubernetesObject[] {
  const objects = structuredClone(buildOverlay('overlays/production')) as KubernetesObject[];
  const object = objects.find((one) => nameOf(one) === name);
  assert.ok(object, name);
  change(object);
  return objects;
}

const podViolations: readonly [string, (pod: Planted) => void, RegExp][] = [
  ['the host network', (pod) => (pod.hostNetwork = true), /^hostNetwork/],
  ['the host processes', (pod) => (pod.hostPID = true), /^hostPID/],
  ['the host IPC', (pod) => (pod.hostIPC = true), /^hostIPC/],
  ['a sysctl', (pod) => (pod.securityContext.sysctls = [{ name: 'kernel.msgmax' }]), /^sysctls/],
  ['a host path', (pod) => pod.volumes.push({ name: 'x', hostPath: { path: '/' } }), /hostPath/],
  ['root', (pod) => (pod.securityContext.runAsUser = 0), /^the pod runs as user 0/],
  [
    'root in one container',
    (pod) => (pod.containers[0].securityContext.runAsNonRoot = false),
    /^container api may run as root/,
  ],
  [
    'user 0 in one container',
    (pod) => (pod.containers[0].securityContext.runAsUser = 0),
    /^container api runs as user 0/,
  ],
  [
    'no seccomp profile',
    (pod) => delete pod.securityContext.seccompProfile,
    /^container reconciler has the seccomp profile undefined/,
  ],
  [
    'an unconfined container',
    (pod) => (pod.containers[0].securityContext.seccompProfile = { type: 'Unconfined' }),
    /^container api has the seccomp profile Unconfined/,
  ],
  [
    'privileges to gain in the sidecar',
    (pod) => delete pod.initContainers[0].securityContext.allowPrivilegeEscalation,
    /^container reconciler may gain privileges/,
  ],
  [
    'capabilities kept',
    (pod) => (pod.containers[0].securityContext.capabilities.drop = ['NET_RAW']),
    /^container api keeps capabilities: it drops NET_RAW/,
  ],
  [
    'a capability added',
    (pod) => (pod.containers[0].securityContext.capabilities.add = ['SYS_PTRACE']),
    /^container api adds SYS_PTRACE/,
  ],
  [
    'a privileged container',
    (pod) => (pod.initContainers[0].securityContext.privileged = true),
    /^container reconciler is privileged/,
  ],
  ['a host port', (pod) => (pod.containers[0].ports[0].hostPort = 80), /^container api has a host/],
  [
    'another /proc',
    (pod) => (pod.containers[0].securityContext.procMount = 'Unmasked'),
    /mounts \/proc as Unmasked/,
  ],
  [
    'no AppArmor',
    (pod) => (pod.securityContext.appArmorProfile = { type: 'Unconfined' }),
    /^the pod has no AppArmor/,
  ],
  [
    'SELinux options',
    (pod) => (pod.containers[0].securityContext.seLinuxOptions = { type: 'spc_t' }),
    /^container api has SELinux options/,
  ],
  [
    'a host process',
    (pod) => (pod.securityContext.windowsOptions = { hostProcess: true }),
    /^the pod is a host process/,
  ],
];

test('each field of the profile is looked at', { skip }, () => {
  for (const [what, plant, expected] of podViolations) {
    const objects = planted('Deployment autocom/api', ({ spec }) => plant(spec.template.spec));
    const found = workloadsOf(objects).flatMap(({ pod }) => restrictedViolations(pod));
    assert.match(found[0] ?? `${what} was not found`, expected);
  }
});

test('a wrong value, a missing and an unknown field are found at any depth', { skip }, () => {
  const api = 'Deployment autocom/api';
  for (const [name, change, expected] of [
    [api, (object) => (object.spce = {}), /has no field spce$/],
    [api, ({ spec }) => (spec.template.spec.containers[0].command = 'php'), /must be array/],
    [
      api,
      ({ spec }) => (spec.template.spec.initContainers[0].readinesProbe = {}),
      /no field spec\.template\.spec\.initContainers\.0\.readinesProbe/,
    ],
    [api, ({ spec }) => delete spec.selector, /must have required property selector/],
    [
      'NetworkPolicy autocom/requests',
      ({ spec }) => (spec.ingress[0].form = []),
      /no field spec\.ingress\.0\.form/,
    ],
    [
      'Service autocom/nginx',
      ({ spec }) => (spec.ports[0].port = '80'),
      /spec\/ports\/0\/port must be integer/,
    ],
    [
      'PodDisruptionBudget autocom/api',
      (object) => (object.apiVersion = 'policy/v1beta1'),
      /no schema of policy\/v1beta1/,
    ],
  ] as readonly [string, (object: Planted) => void, RegExp][]) {
    const [found = 'nothing was found'] = planted(name, change).flatMap(typeProblems);
    assert.match(found, expected);
  }
});

test('selectors, ports, aliases and references that lead nowhere are found', { skip }, () => {
  const workloads = (check: (workload: Planted) => string[]) => (objects: KubernetesObject[]) =>
    workloadsOf(objects).flatMap(check);
  const api = 'Deployment autocom/api';
  for (const [check, name, change, expected] of [
    [
      selectorProblems,
      'Service autocom/api',
      ({ spec }) => (spec.selector = { 'app.kubernetes.io/name': 'apo' }),
      /^Service autocom\/api selects no pod/,
    ],
    [
      selectorProblems,
      'Service autocom/nginx',
      ({ spec }) => (spec.ports[0].targetPort = 'web'),
      /no container of nginx has the port web/,
    ],
    [
      selectorProblems,
      'Service autocom/reconciler',
      ({ spec }) => (spec.ports[0].targetPort = 'ringlock'),
      /no container of api has the port ringlock/,
    ],
    [
      selectorProblems,
      'PodDisruptionBudget autocom/api',
      ({ spec }) => (spec.selector.matchLabels = { 'ringlock.dev/root': 'own' }),
      /selects the pods of horizon too/,
    ],
    [
      selectorProblems,
      api,
      ({ spec }) => (spec.template.metadata.labels['app.kubernetes.io/name'] = 'web'),
      /selects no pod/,
    ],
    [
      aliasProblems,
      'Service autocom-edge/redis',
      ({ spec }) => (spec.externalName = 'redis.autocom-edge.svc.cluster.local'),
      /alias of redis\.autocom-edge/,
    ],
    [
      backendProblems,
      'Service autocom-edge/nginx',
      ({ spec }) => (spec.ports[0].port = 8080),
      /^Ingress autocom-edge\/ring leads to autocom-edge\/nginx:80, which is not there/,
    ],
    [
      referenceProblems,
      api,
      ({ spec }) => (spec.template.spec.containers[0].envFrom[0].configMapRef.name = 'ring'),
      /names ConfigMap ring/,
    ],
    [
      referenceProblems,
      api,
      ({ spec }) => (spec.template.spec.serviceAccountName = 'nobody'),
      /names ServiceAccount nobody/,
    ],
    [
      referenceProblems,
      api,
      ({ spec }) => (spec.template.spec.volumes[0].name = 'root'),
      /mounts modules, which is no volume/,
    ],
    [
      workloads(secretsAsValues),
      api,
      ({ spec }) =>
        (spec.template.spec.containers[0].env[0] = {
          name: 'TOKEN',
          valueFrom: { secretKeyRef: { name: 'ringlock', key: 'git-token' } },
        }),
      /api gets TOKEN as a value/,
    ],
    [
      workloads(resourceProblems),
      api,
      ({ spec }) => (spec.template.spec.containers[0].image = 'registry.example.com/api'),
      /says no version/,
    ],
    [
      workloads(resourceProblems),
      api,
      ({ spec }) => delete spec.template.spec.initContainers[0].resources.limits,
      /reconciler lacks/,
    ],
    [
      (objects) => workloadsOf(objects).flatMap(writableContainers).slice(0, 1),
      api,
      ({ spec }) => delete spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem,
      /^autocom\/api\/api/,
    ],
    [
      openPods,
      'NetworkPolicy autocom-edge/default-deny',
      ({ spec }) => (spec.policyTypes = ['Ingress']),
      /Deployment autocom-edge\/\w+: no policy denies/,
    ],
    [
      openPods,
      'NetworkPolicy autocom-edge/default-deny',
      ({ spec }) => (spec.egress = [{}]),
      /no policy denies/,
    ],
  ] as readonly [(o: KubernetesObject[]) => string[], string, (o: Planted) => void, RegExp][]) {
    const [found = 'nothing was found'] = check(planted(name, change));
    assert.match(found, expected);
  }
});

test('a policy that lets too much or too little through changes who reaches whom', { skip }, () => {
  const reaches = (objects: KubernetesObject[], from: string, to: string, port: number) =>
    mayConnect(objects, podOf(objects, 'autocom-edge', from), podOf(objects, 'autocom', to), port);
  const same = planted('Deployment autocom/api', () => {});
  assert.equal(reaches(same, 'nginx', 'api', 8080), false);
  assert.equal(reaches(same, 'nginx', 'frontend', 8080), true);
  const open = planted('NetworkPolicy autocom-edge/nginx-to-shared-pages', ({ spec }) => {
    spec.egress = [{}];
  });
  assert.equal(reaches(open, 'nginx', 'api', 8080), false, 'the other end still refuses');
  const bothOpen = [...open];
  for (const object of bothOpen) {
    if (nameOf(object) === 'NetworkPolicy autocom/api-from-nginx') object.spec.ingress = [{}];
  }
  assert.equal(reaches(bothOpen, 'nginx', 'api', 8080), true);
  const unlabelled = planted('Namespace autocom-edge', ({ metadata }) => {
    delete metadata.labels['ringlock.dev/ring'];
  });
  assert.equal(reaches(unlabelled, 'nginx', 'frontend', 8080), false);
});
