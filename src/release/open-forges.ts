import { parseRemoteAddress } from '../git/credentials.ts';
import type { Settings } from '../repo/settings.ts';
import type { RegistryOptions } from '../source/registry/open-registries.ts';
import { RegistryHttp } from '../source/registry/registry-http.ts';
import { Connections } from '../wire/connections.ts';
import { githubReleases } from './github-releases.ts';
import { gitlabReleases } from './gitlab-releases.ts';
import type { ReleaseForge } from './release-entry.ts';

/**
 * The forges of `manifests/ringlock.yaml` on which release entries are made.
 *
 * @throws RinglockError `insecure-url`
 */
export function openForges(
  { releases }: Pick<Settings, 'releases'>,
  environment: NodeJS.ProcessEnv,
  options: Omit<RegistryOptions, 'sourceOf'> = {},
): readonly ReleaseForge[] {
  const { idleTimeoutMs = 30_000, caFile = environment['RINGLOCK_CA_FILE'] || undefined } = options;
  const connections = new Connections({ idleTimeoutMs, caFile, environment });
  const http = new RegistryHttp({ ...options, connections });
  return releases.map((settings) => {
    const { display: address } = parseRemoteAddress(settings.url);
    const kind = settings.kind === 'gitlab' ? 'GitLab' : 'GitHub';
    const display = `the ${kind} releases of ${settings.project} at ${address}`;
    const access = { http, display, environment };
    return settings.kind === 'gitlab'
      ? gitlabReleases(settings, access)
      : githubReleases(settings, access);
  });
}
