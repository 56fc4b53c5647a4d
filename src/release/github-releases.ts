import { readToken } from '../environment.ts';
import type { ReleaseSettings } from '../repo/registry-settings.ts';
import {
  askForge,
  type ForgeAccess,
  type ForgeCredentials,
  type ForgeRequest,
  releaseToken,
} from './forge-requests.ts';
import {
  type ReleaseEntry,
  type ReleaseForge,
  type ReleaseLink,
  withNames,
} from './release-entry.ts';

const headers = {
  accept: 'application/vnd.github+json, application/json',
  'x-github-api-version': '2022-11-28',
};

/**
 * Releases of a GitHub repository. A release of GitHub has no links of its own: they are in its text.
 *
 * @see https://docs.github.com/en/rest/releases/releases
 */
export function githubReleases(settings: ReleaseSettings, access: ForgeAccess): ReleaseForge {
  const base = settings.url.replace(/\/+$/, '');
  const ask = async (request: ForgeRequest) =>
    askForge(access, await credentials(new URL(base), access.environment), { ...request, headers });
  return {
    display: access.display,
    ensure: async (entry, signal) => {
      const releases = `${base}/repos/${withNames(settings.project, entry)}/releases`;
      const tag = withNames(settings.tag, entry);
      const own = new URL(`${releases}/tags/${encodeURIComponent(tag)}`);
      const look = () => ask({ method: 'GET', url: own, expect: [404], signal });
      let present = await look();
      if (present.status === 404) {
        const body = githubRelease(entry, tag, settings.project);
        const url = new URL(releases);
        const made = await ask({ method: 'POST', url, body, expect: [422], signal });
        if (made.status !== 422) return 'created';
        // 422 says that another run was quicker, or what is wrong with the tag.
        present = await look();
        if (present.status === 404) await ask({ method: 'POST', url, body, signal });
      }
      const { id, body = '' } = (present.value ?? {}) as { id?: number; body?: string | null };
      const missing = entry.links.filter(({ url }) => !(body ?? '').includes(url));
      if (missing.length === 0) return 'same';
      const url = new URL(`${releases}/${id}`);
      const text = `${body ?? ''}\n${linkList(missing)}`;
      await ask({ method: 'PATCH', url, body: { body: text }, signal });
      return 'completed';
    },
  };
}

function githubRelease(entry: ReleaseEntry, tag: string, project: string) {
  const { title, notes, links, commit, isPrerelease } = entry;
  const isPlatform = !project.includes('{alias}');
  return {
    name: title,
    tag_name: tag,
    ...(isPlatform && commit !== undefined && { target_commitish: commit }),
    body: links.length === 0 ? notes : `${notes}\n${linkList(links)}`,
    draft: false,
    prerelease: isPrerelease,
  };
}

function linkList(links: readonly ReleaseLink[]): string {
  return links.map(({ name, url }) => `\n- [${name}](${url})`).join('');
}

async function credentials(url: URL, environment: NodeJS.ProcessEnv): Promise<ForgeCredentials> {
  const own = await readToken(releaseToken, environment);
  const scope = '"Contents", read and write';
  if (own !== undefined) {
    const hint = `${releaseToken} is wrong, has expired, or may not write to the repository (${scope}).`;
    return bearer(own, releaseToken, hint);
  }
  const actions = await readToken('GITHUB_TOKEN', environment);
  const api = environment['GITHUB_API_URL'] || 'https://api.github.com';
  if (actions !== undefined && new URL(api).origin === url.origin) {
    const hint = `Give the job \`permissions: contents: write\`, or set ${releaseToken}.`;
    return bearer(actions, 'GITHUB_TOKEN', hint);
  }
  const hint = `Set ${releaseToken} (or ${releaseToken}_FILE) to a token that may write to the repository (${scope}).`;
  return { headers: {}, source: 'no credentials', hint };
}

function bearer(token: string, source: string, hint: string): ForgeCredentials {
  return { headers: { authorization: `Bearer ${token}` }, source, hint };
}
