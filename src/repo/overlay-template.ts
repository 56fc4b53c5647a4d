/** Where a ring's overlay is, from the repository's top. */
export function overlayDirectory(ring: string): string {
  return `overlays/rings/${ring}`;
}

/** What the overlay of a ring is built on; without it there is none to make. */
export const overlayBase = 'overlays/base/per-ring/kustomization.yaml';

/** Where `ringlock ring routes` writes. */
export const routesDirectory = 'overlays/routes';

/**
 * The files of a new ring's overlay, by path from the repository's top: as that of a ring that begins small.
 *
 * @param branch the ring's own; the base says `main`
 */
export function newOverlayFiles(
  ring: string,
  namespace: string,
  branch: string,
): Record<string, string> {
  const directory = overlayDirectory(ring);
  const follows = branch === 'main' ? '' : `      - RING_BRANCH=${branch}\n`;
  return {
    [`${directory}/kustomization.yaml`]: `# kubectl apply -k ${directory}
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ${plain(namespace)}
resources:
  - ../../base/per-ring
components:
  - ../../components/shared-aliases
labels:
  - pairs:
      ringlock.dev/ring: ${plain(ring)}
    includeTemplates: true
configMapGenerator:
  - name: ring
    behavior: merge
    literals:
      - RING_NAME=${ring}
${follows}replicas:
  - name: api
    count: 1
  - name: nginx
    count: 1
`,
  };
}

/** kustomize reads YAML 1.1, in which some names are no texts. */
function plain(name: string): string {
  return /^(true|false|null|yes|no|on|off|y|n)$/.test(name) ? JSON.stringify(name) : name;
}
