import { fileURLToPath } from 'node:url';
import { badInput } from '../../errors.ts';
import { parseRemoteAddress } from '../../git/credentials.ts';
import { redactUrl } from '../../redaction.ts';
import { type RegistrySettings, registryToken } from '../../repo/registry-settings.ts';
import type { Settings } from '../../repo/settings.ts';
import { Connections } from '../../wire/connections.ts';
import { directoryRegistry } from './directory-registry.ts';
import { gitlabRegistry } from './gitlab-registry.ts';
import { httpRegistry } from './http-registry.ts';
import { ociRegistry } from './oci-registry.ts';
import type { Registry } from './registry.ts';
import { registryCredentials } from './registry-credentials.ts';
import { RegistryHttp, type RegistryHttpOptions } from './registry-http.ts';

export interface RegistryOptions extends Omit<RegistryHttpOptions, 'connections'> {
  /** Shared with others, and closed by their owner; own ones by default, of `caFile` and `idleTimeoutMs`. */
  readonly connections?: Connections;
  /** Certificates that are trusted besides node's; RINGLOCK_CA_FILE by default. */
  readonly caFile?: string | undefined;
  /** How long a registry may be silent, in ms; default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Sends a token only to a server that the environment names for it (MODULE_REGISTRY_URL): for pods. */
  readonly onlyBoundTokens?: boolean;
  /**
   * A module's own project, as its lock entry's `source` says it (`gitlab:acme/modules/orders`): where a
   * GitLab registry without a project keeps its packages. Nothing by default: such a registry can then
   * read what a lock names, and neither list nor publish.
   */
  readonly sourceOf?: (alias: string) => string | null | undefined;
}

/**
 * The registries of `manifests/ringlock.yaml`, the preferred one first. The GitLab server of
 * MODULE_REGISTRY_URL is one of them, also where the settings do not name it.
 *
 * @throws RinglockError `insecure-url`, `invalid-registry`
 */
export function openRegistries(
  { registries }: Pick<Settings, 'registries'>,
  environment: NodeJS.ProcessEnv,
  options: RegistryOptions = {},
): readonly Registry[] {
  const { idleTimeoutMs = 30_000, caFile = environment['RINGLOCK_CA_FILE'] || undefined } = options;
  const { connections = new Connections({ idleTimeoutMs, caFile, environment }) } = options;
  const http = new RegistryHttp({ ...options, connections });
  return withEnvironment(registries, environment).map((settings) => {
    if (settings.kind === 'directory') return directoryRegistry(directoryOf(settings.url));
    const url = serverUrl(settings.url);
    const { tokenVariable } = settings;
    const credentials = () =>
      registryCredentials(url, tokenVariable, environment, options.onlyBoundTokens);
    const parts = { http, url, tokenVariable, credentials, idleTimeoutMs };
    if (settings.kind === 'oci') return ociRegistry(parts);
    if (settings.kind === 'http') return httpRegistry(parts);
    return gitlabRegistry(parts, { project: settings.project, sourceOf: options.sourceOf });
  });
}

/** The reference's variable names a GitLab server; the packages are its modules' own projects'. */
function withEnvironment(
  registries: readonly RegistrySettings[],
  environment: NodeJS.ProcessEnv,
): readonly RegistrySettings[] {
  const url = environment['MODULE_REGISTRY_URL'];
  if (!url) return registries;
  if (!/^https?:/.test(url)) {
    throw badInput(
      'invalid-registry',
      `MODULE_REGISTRY_URL is ${JSON.stringify(redactUrl(url))}, expected https://… of a server`,
      {
        hint: 'A directory is named under `registries` in manifests/ringlock.yaml.',
      },
    );
  }
  const { origin } = serverUrl(url);
  if (registries.some((each) => URL.canParse(each.url) && new URL(each.url).origin === origin)) {
    return registries;
  }
  const project = environment['MODULE_REGISTRY_PROJECT'] || undefined;
  return [...registries, { kind: 'gitlab', url, project, tokenVariable: registryToken }];
}

function serverUrl(text: string): URL {
  const { url, user, password, display } = parseRemoteAddress(text);
  if (user === undefined && password === undefined) return url;
  throw badInput('invalid-registry', `the registry ${display} has credentials in its URL`, {
    hint: `Give them in ${registryToken} (and MODULE_REGISTRY_USER).`,
  });
}

function directoryOf(text: string): string {
  const path = text.startsWith('file:') ? fileURLToPath(text) : text;
  return path.length > 1 ? path.replace(/\/+$/, '') : path;
}
