import { createHash } from 'node:crypto';
import { filesBesideZip, isZipOf, manifestName, zipName } from './package-files.ts';
import type { PackagedModule } from './registry.ts';

/** Names of ours in an image manifest (OCI image specification 1.1, "Guidelines for Artifact Usage"). */
const artifactType = 'application/vnd.ringlock.module.v1';
export const imageManifestType = 'application/vnd.oci.image.manifest.v1+json';
const zipType = 'application/zip';
const packageManifestType = 'application/vnd.ringlock.module.manifest.v1+json';

const title = 'org.opencontainers.image.title';
const created = 'org.opencontainers.image.created';

/** Something that a manifest points at. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Blob {
  readonly descriptor: Descriptor;
  readonly content: Uint8Array;
}

/** The empty descriptor, as the specification gives it. */
const emptyConfig: Blob = {
  descriptor: {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
    size: 2,
  },
  content: Buffer.from('{}'),
};

export interface OciPackage {
  /** What the manifest points at, to be there before it. */
  readonly blobs: readonly Blob[];
  /** The manifest's bytes. */
  readonly manifest: string;
}

/** @param now when it is published */
export function ociPackage(module: PackagedModule, now: Date): OciPackage {
  const zip = blob(module.zip, zipType, zipName(module));
  const beside = filesBesideZip(module).map(({ name, mediaType, content }) =>
    blob(content, name === manifestName ? packageManifestType : mediaType, name),
  );
  const layers = [zip, ...beside];
  const manifest = {
    schemaVersion: 2,
    mediaType: imageManifestType,
    artifactType,
    config: { ...emptyConfig.descriptor, data: 'e30=' },
    layers: layers.map(({ descriptor }) => descriptor),
    annotations: {
      [created]: now.toISOString().replace(/\.\d+Z$/, 'Z'),
      ...revisionOf(module),
      [title]: module.alias,
      'org.opencontainers.image.version': module.version,
    },
  };
  return { blobs: [emptyConfig, ...layers], manifest: JSON.stringify(manifest) };
}

function blob(content: Uint8Array, mediaType: string, name: string): Blob {
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
  const annotations = { [title]: name };
  return { descriptor: { mediaType, digest, size: content.length, annotations }, content };
}

function revisionOf({ manifest }: PackagedModule): Readonly<Record<string, string>> {
  const { commit } = JSON.parse(manifest) as { commit?: unknown };
  return typeof commit === 'string' ? { 'org.opencontainers.image.revision': commit } : {};
}

export interface OciZip extends Descriptor {
  /** When it was published, where the manifest says it. */
  readonly released_at: string | null;
}

/** The zip that a manifest points at; undefined when it is no package of a module. */
export function zipOfManifest(text: string, version: string): OciZip | undefined {
  let value: Partial<ImageManifest> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const layers = Array.isArray(value?.layers) ? value.layers : [];
  const zip = layers.find(
    ({ mediaType, annotations }) =>
      mediaType === zipType && isZipOf(version, annotations?.[title] ?? ''),
  );
  const isWhole =
    zip !== undefined && /^sha256:[0-9a-f]{64}$/.test(zip.digest) && Number.isSafeInteger(zip.size);
  if (!isWhole) return undefined;
  const date = value?.annotations?.[created] ?? '';
  return { ...zip, released_at: Number.isNaN(Date.parse(date)) ? null : date };
}

interface ImageManifest {
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}
