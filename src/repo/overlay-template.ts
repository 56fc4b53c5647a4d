/** Where a ring's overlay is, from the repository's top. */
export function overlayDirectory(ring: string): string {
  return `overlays/rings/${ring}`;
}

/** What the overlay of a ring is built on; without it there is none to make. */
export const overlayBase = 'overlays/base/per-ring/kustomization.yaml';

/**
 * The files of a new ring's overlay, by path from the repository's top: the same as those of the rings that
 * are there.
 */
export function newOverlayFiles(ring: string, namespace: string): Record<string, string> {
  const directory = overlayDirectory(ring);
  return {
    [`${directory}/kustomization.yaml`]: `# kubectl apply -k ${directory}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ${namespace}
resources:
  - namespace.yaml
  - ../../base/per-ring
labels:
  - pairs:
      ringlock.dev/ring: ${ring}
    includeTemplates: true
patches:
  - path: ring-name.yaml
`,
    [`${directory}/namespace.yaml`]: `apiVersion: v1
kind: Namespace
metadata:
  name: ${namespace}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
`,
    [`${directory}/ring-name.yaml`]: `# Merged by container and variable name, so it goes on working when either gains a sibling.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 1
  template:
    spec:
      initContainers:
        - name: reconciler
          env:
            - name: RING_NAME
              value: ${ring}
`,
  };
}
