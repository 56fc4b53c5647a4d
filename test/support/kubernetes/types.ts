import { Gateway } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/Gateway';
import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { PersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import { Service } from 'kubernetes-models/v1/Service';
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import { type KubernetesObject, nameOf } from './objects.ts';

interface Model {
  readonly apiVersion: string;
  readonly kind: string;
  readonly prototype: { validate(): void };
}

const models = [
  ...[ConfigMap, Deployment, Gateway, HTTPRoute, Ingress, Namespace, NetworkPolicy],
  ...[PersistentVolumeClaim, PodDisruptionBudget, Service, ServiceAccount, StatefulSet],
] as unknown as readonly Model[];

/**
 * What is wrong with an object by the OpenAPI schema of its kind: values of another type or form, what is
 * missing, and fields that the kind does not have. The schemas allow any further field, as the API server
 * drops what it does not know; but a schema's validator reads each field that it knows, so what it has not
 * read is unknown.
 */
export function typeProblems(object: KubernetesObject): string[] {
  const model = models.find(
    ({ apiVersion, kind }) => apiVersion === object.apiVersion && kind === object.kind,
  );
  if (model === undefined) {
    return [`${nameOf(object)}: no schema of ${object.apiVersion} ${object.kind} is known`];
  }
  const unread: (() => string[])[] = [];
  const watched = watch(object, '', unread, model.prototype);
  try {
    model.prototype.validate.call(watched);
  } catch (error) {
    return [`${nameOf(object)}: ${(error as Error).message}`];
  }
  return unread
    .flatMap((unknown) => unknown())
    .map((path) => `${nameOf(object)}: its kind has no field ${path}`);
}

/** The same value, which notes what is read of it; `unread` gets what answers the paths that were not. */
function watch<T>(value: T, path: string, unread: (() => string[])[], prototype?: object): T {
  if (typeof value !== 'object' || value === null) return value;
  const at = (key: string) => (path === '' ? key : `${path}.${key}`);
  const seen = new Set<string>();
  const copy = Array.isArray(value) ? [] : Object.create(prototype ?? Object.prototype);
  for (const [key, child] of Object.entries(value)) copy[key] = watch(child, at(key), unread);
  unread.push(() => Object.keys(value).flatMap((key) => (seen.has(key) ? [] : at(key))));
  return new Proxy(copy, {
    get: (target, key) => {
      if (typeof key === 'string') seen.add(key);
      return Reflect.get(target, key);
    },
  });
}
