import type { TestContext } from 'node:test';
import { type Received, type StandIn, type StandInAnswer, standIn } from '../outward/stand-in.ts';

export const forgeToken = 'forge-token-0123456789';

/** A release as a forge keeps it. */
export interface KeptRelease {
  readonly id: number;
  readonly tag: string;
  readonly name: string;
  /** Where the tag was made, when it was not there. */
  readonly ref: string | undefined;
  readonly prerelease: boolean;
  notes: string;
  readonly links: { readonly name: string; readonly url: string }[];
}

export interface ReleaseForgeStandIn extends StandIn {
  readonly releases: KeptRelease[];
  /** Tags that are there. */
  readonly tags: Set<string>;
}

/** GitLab, as far as docs.gitlab.com, "Releases API" and "Release links API", go. */
export async function serveGitlabReleases(t: TestContext): Promise<ReleaseForgeStandIn> {
  const releases: KeptRelease[] = [];
  const tags = new Set<string>();
  const served = await standIn(t, (request) => gitlabAnswer(request, releases, tags));
  return { ...served, releases, tags };
}

function gitlabAnswer(
  { path, headers, body }: Received,
  releases: KeptRelease[],
  tags: Set<string>,
): StandInAnswer {
  const said = (status: number, message: string) => ({ status, body: { message } });
  const isKnown = [headers['private-token'], headers['job-token']].includes(forgeToken);
  if (!isKnown) return said(401, '401 Unauthorized');
  const [, project, tail = ''] = /^\/api\/v4\/projects\/([^/]+)\/releases(.*)$/.exec(path) ?? [];
  if (project !== 'acme%2Fplatform') return said(404, '404 Project Not Found');
  const asked = body === '' ? undefined : JSON.parse(body);
  if (tail === '') {
    const { name, tag_name: tag, ref, description, assets } = asked;
    if (releases.some((each) => each.tag === tag)) return said(409, 'Release already exists');
    if (!tags.has(tag) && ref === undefined) return said(422, 'Ref is not specified');
    tags.add(tag);
    const links = [...(assets?.links ?? [])];
    const bad = links.find(({ url }: { url: string }) => !/^(https?|ftp):/.test(url));
    if (bad !== undefined) return said(400, 'Links url is invalid');
    releases.push({ id: 1, tag, name, ref, prerelease: false, notes: description, links });
    return { status: 201, body: shown(releases.at(-1)) };
  }
  const [, encoded = '', isLink] = /^\/([^/]+)(\/assets\/links)?$/.exec(tail) ?? [];
  const found = releases.find(({ tag }) => tag === decodeURIComponent(encoded));
  if (found === undefined) return said(404, '404 Not found');
  if (isLink === undefined) return { status: 200, body: shown(found) };
  if (found.links.some(({ name }) => name === asked.name)) return said(400, 'Name has been taken');
  found.links.push({ name: asked.name, url: asked.url });
  return { status: 201, body: asked };
}

function shown(release: KeptRelease | undefined) {
  const { tag, name, notes, links = [] } = release ?? {};
  return { tag_name: tag, name, description: notes, assets: { count: links.length, links } };
}

/** GitHub, as far as docs.github.com, REST API, "Releases", goes. */
export async function serveGithubReleases(t: TestContext): Promise<ReleaseForgeStandIn> {
  const releases: KeptRelease[] = [];
  const tags = new Set<string>();
  const served = await standIn(t, (request) => githubAnswer(request, releases));
  return { ...served, releases, tags };
}

function githubAnswer({ path, headers, body }: Received, releases: KeptRelease[]): StandInAnswer {
  const said = (status: number, message: string) => ({ status, body: { message } });
  if (headers['user-agent'] === undefined) return said(403, 'Request forbidden');
  if (headers.authorization !== `Bearer ${forgeToken}`) return said(401, 'Bad credentials');
  const rest = /^\/repos\/acme\/platform\/releases(.*)$/.exec(path)?.[1];
  if (rest === undefined) return said(404, 'Not Found');
  const asked = body === '' ? undefined : JSON.parse(body);
  const show = ({ id, tag, name, notes }: KeptRelease) => ({
    id,
    tag_name: tag,
    name,
    body: notes,
  });
  if (rest === '') {
    const { name, tag_name: tag, target_commitish: ref, body: notes, prerelease } = asked;
    if (releases.some((each) => each.tag === tag)) return said(422, 'Validation Failed');
    const release = { id: releases.length + 7, tag, name, ref, prerelease, notes, links: [] };
    releases.push(release);
    return { status: 201, body: show(release) };
  }
  const tag = /^\/tags\/([^/]+)$/.exec(rest)?.[1];
  const id = Number(/^\/(\d+)$/.exec(rest)?.[1]);
  const found = releases.find(
    (each) => each.id === id || each.tag === decodeURIComponent(tag ?? ''),
  );
  if (found === undefined) return said(404, 'Not Found');
  if (asked?.body !== undefined) found.notes = asked.body;
  return { status: 200, body: show(found) };
}
