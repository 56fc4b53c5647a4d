import { badInput } from '../errors.ts';
import { settingsFile } from './names.ts';

/** How requests reach a cluster: `Ingress` objects, or `HTTPRoute` objects of the Gateway API. */
export type RouteApi = 'ingress' | 'gateway';

/** How `ring routes` writes routes. */
export interface RouteSettings {
  readonly apis: readonly RouteApi[];
  /** The Service of each ring's namespace that requests for it go to, and its port. */
  readonly service: string;
  readonly port: number;
  readonly ingress: {
    readonly className: string;
    readonly annotations: Readonly<Record<string, string>>;
    /** Whether hostnames get a certificate's secret each claimant has of its own. */
    readonly tls: boolean;
  };
  /** Undefined: the platform names no Gateway. */
  readonly gateway: GatewaySettings | undefined;
}

export interface GatewaySettings {
  readonly name: string;
  readonly namespace: string;
  /** The listener of the Gateway; undefined: all of them. */
  readonly listener: string | undefined;
}

export interface RoutesYaml {
  readonly api?: RouteApi | 'both';
  readonly service?: string;
  readonly port?: number;
  readonly ingress?: {
    readonly class?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly tls?: boolean;
  };
  readonly gateway?: {
    readonly name: string;
    readonly namespace: string;
    readonly listener?: string;
  };
}

/** Of what manifests/ringlock.yaml says; what it does not say has its default. */
export function routeSettings(yaml: RoutesYaml = {}): RouteSettings {
  const { service = 'nginx', port = 80, ingress = {}, gateway } = yaml;
  const { api = gateway === undefined ? 'ingress' : 'both' } = yaml;
  return {
    apis: api === 'both' ? ['gateway', 'ingress'] : [api],
    service,
    port,
    ingress: {
      className: ingress.class ?? 'nginx',
      annotations: ingress.annotations ?? {},
      tls: ingress.tls ?? false,
    },
    gateway: gateway && { ...gateway, listener: gateway.listener },
  };
}

/** @throws RinglockError `gateway-not-named` */
export function requireGateway({ gateway }: RouteSettings): GatewaySettings {
  if (gateway !== undefined) return gateway;
  throw badInput('gateway-not-named', `${settingsFile} has no routes.gateway to attach routes to`, {
    hint: 'Add `routes: {gateway: {name: …, namespace: …}}`, or ask for --api ingress.',
  });
}
