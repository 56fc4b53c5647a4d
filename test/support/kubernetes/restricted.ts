import { type Container, containersOf, type PodSpec } from './objects.ts';

/**
 * What a pod has against the Pod Security Standard `restricted` (which contains `baseline`), field by field,
 * in the order of https://kubernetes.io/docs/concepts/security/pod-security-standards/.
 */
export function restrictedViolations(pod: PodSpec): string[] {
  const found: string[] = [];
  const refuse = (isWrong: boolean, what: string) => isWrong && found.push(what);
  const own = (pod.securityContext ?? {}) as SecurityContext;
  const host = pod as unknown as Readonly<Record<string, unknown>>;
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) {
    refuse(host[field] === true, `${field} is true`);
  }
  refuse((own.sysctls ?? []).length > 0, 'sysctls are set');
  for (const volume of pod.volumes ?? []) {
    const kinds = Object.keys(volume).filter((key) => key !== 'name');
    const isAllowed = kinds.length === 1 && allowedVolumes.has(kinds[0] ?? '');
    refuse(!isAllowed, `volume ${volume['name']} is a ${kinds.join(' and a ')}`);
  }
  refuseOptions(own, 'the pod', refuse);
  for (const container of containersOf(pod)) {
    const context = (container.securityContext ?? {}) as SecurityContext;
    const name = `container ${container.name}`;
    refuseOptions(context, name, refuse);
    refuseContainer(container, context, name, refuse);
    const { runAsNonRoot = own.runAsNonRoot, seccompProfile = own.seccompProfile } = context;
    refuse(runAsNonRoot !== true, `${name} may run as root: runAsNonRoot is ${runAsNonRoot}`);
    refuse(context.runAsUser === 0, `${name} runs as user 0`);
    const profile = seccompProfile?.type;
    const isConfined = profile === 'RuntimeDefault' || profile === 'Localhost';
    refuse(!isConfined, `${name} has the seccomp profile ${profile}`);
  }
  refuse(own.runAsUser === 0, 'the pod runs as user 0');
  return found;
}

interface SecurityContext {
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly procMount?: string;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  readonly seccompProfile?: { readonly type: string };
  readonly appArmorProfile?: { readonly type: string };
  readonly seLinuxOptions?: {
    readonly type?: string;
    readonly user?: string;
    readonly role?: string;
  };
  readonly windowsOptions?: { readonly hostProcess?: boolean };
  readonly sysctls?: readonly unknown[];
}

type Refuse = (isWrong: boolean, what: string) => unknown;

const allowedVolumes = new Set([
  ...['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral'],
  ...['persistentVolumeClaim', 'projected', 'secret'],
]);

/** What a pod's and a container's security context both have. */
function refuseOptions(context: SecurityContext, name: string, refuse: Refuse): void {
  const { windowsOptions, appArmorProfile, seLinuxOptions } = context;
  refuse(windowsOptions?.hostProcess === true, `${name} is a host process`);
  refuse(appArmorProfile?.type === 'Unconfined', `${name} has no AppArmor profile`);
  const { type = '', user = '', role = '' } = seLinuxOptions ?? {};
  const isAllowed = ['', 'container_t', 'container_init_t', 'container_kvm_t'].includes(type);
  refuse(!isAllowed || user !== '' || role !== '', `${name} has SELinux options of its own`);
}

function refuseContainer(
  { ports = [] }: Container,
  { privileged, allowPrivilegeEscalation, procMount = 'Default', capabilities }: SecurityContext,
  name: string,
  refuse: Refuse,
): void {
  refuse(privileged === true, `${name} is privileged`);
  for (const { hostPort = 0 } of ports) refuse(hostPort !== 0, `${name} has a host port`);
  refuse(procMount !== 'Default', `${name} mounts /proc as ${procMount}`);
  refuse(
    allowPrivilegeEscalation !== false,
    `${name} may gain privileges: allowPrivilegeEscalation is ${allowPrivilegeEscalation}`,
  );
  const { add = [], drop = [] } = capabilities ?? {};
  refuse(
    !drop.includes('ALL'),
    `${name} keeps capabilities: it drops ${drop.join(', ') || 'none'}`,
  );
  const added = add.filter((capability) => capability !== 'NET_BIND_SERVICE');
  refuse(added.length > 0, `${name} adds ${added.join(', ')}`);
}
