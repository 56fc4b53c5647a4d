import { readJobToken, readToken } from '../environment.ts';
import { environmentFailed } from '../errors.ts';
import { redactLine } from '../redaction.ts';
import type { ReleaseSettings } from '../repo/registry-settings.ts';
import {
  askForge,
  type ForgeAccess,
  type ForgeAnswer,
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

/**
 * Releases of a GitLab project.
 *
 * @see https://docs.gitlab.com/api/releases/ and https://docs.gitlab.com/api/releases/links/
 */
export function gitlabReleases(settings: ReleaseSettings, access: ForgeAccess): ReleaseForge {
  const base = settings.url.replace(/\/+$/, '');
  const ask = async (request: ForgeRequest) =>
    askForge(access, await credentials(new URL(base), access.environment), request);
  return {
    display: access.display,
    ensure: async (entry, signal) => {
      const project = encodeURIComponent(withNames(settings.project, entry));
      const tag = withNames(settings.tag, entry);
      const releases = `${base}/api/v4/projects/${project}/releases`;
      const own = new URL(`${releases}/${encodeURIComponent(tag)}`);
      const look = () => ask({ method: 'GET', url: own, expect: [404], signal });
      let present = await look();
      if (present.status === 404) {
        const body = gitlabRelease(entry, tag, settings.project);
        const url = new URL(releases);
        const made = await ask({ method: 'POST', url, body, expect: [409, 422], signal });
        if (made.status === 422) throw notMade(access.display, tag, made);
        if (made.status !== 409) return 'created';
        // Another run was quicker.
        present = await look();
      }
      const missing = missingLinks(entry.links, present);
      for (const link of missing) {
        const url = new URL(`${own.href}/assets/links`);
        const request = { method: 'POST', url, body: gitlabLink(link), signal } as const;
        const made = await ask({ ...request, expect: [400, 409, 422] });
        if (made.status < 400 || missingLinks([link], await look()).length === 0) continue;
        // Neither another run nor an answer that was lost: then it is asked to say why.
        await ask(request);
      }
      return missing.length === 0 ? 'same' : 'completed';
    },
  };
}

function gitlabRelease(
  { title, notes, links, commit }: ReleaseEntry,
  tag: string,
  project: string,
) {
  // A mirror's commits are others than the platform's: its tag has to be there.
  const isPlatform = !project.includes('{alias}');
  return {
    name: title,
    tag_name: tag,
    description: notes,
    ...(isPlatform && commit !== undefined && { ref: commit }),
    assets: { links: links.map(gitlabLink) },
  };
}

/** GitLab says 422 of a tag that is not there, when it is not told where to make it. */
function notMade(display: string, tag: string, { value }: ForgeAnswer): Error {
  const { message } = (value ?? {}) as { message?: unknown };
  const said = redactLine(JSON.stringify(message ?? value));
  return environmentFailed('forge-failed', `${display} makes no release of ${tag} (422): ${said}`, {
    hint: `The tag has to be there first: ringlock mirror pushes it to a mirror, git push origin ${tag} to the platform.`,
    details: { status: 422 },
  });
}

function gitlabLink({ name, url }: ReleaseLink) {
  return { name, url, link_type: 'package' };
}

function missingLinks(links: readonly ReleaseLink[], { value }: ForgeAnswer): ReleaseLink[] {
  const { assets } = (value ?? {}) as { assets?: { links?: readonly { url?: string }[] } };
  const there = new Set((assets?.links ?? []).map(({ url }) => url));
  return links.filter(({ url }) => !there.has(url));
}

async function credentials(url: URL, environment: NodeJS.ProcessEnv): Promise<ForgeCredentials> {
  const token = await readToken(releaseToken, environment);
  if (token !== undefined) {
    const hint = `${releaseToken} is wrong, has expired, or lacks the scope api and the role Developer.`;
    return { headers: { 'private-token': token }, source: releaseToken, hint };
  }
  const job = await readJobToken(url, environment);
  if (job !== undefined) {
    const hint = `CI_JOB_TOKEN makes releases in its own project only; for another set ${releaseToken} to a token with the scope api.`;
    return { headers: { 'job-token': job }, source: 'CI_JOB_TOKEN', hint };
  }
  const hint = `Set ${releaseToken} (or ${releaseToken}_FILE) to a token with the scope api and the role Developer in that project.`;
  return { headers: {}, source: 'no credentials', hint };
}
