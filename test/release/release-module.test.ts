import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { openForges } from '../../src/release/open-forges.ts';
import { releaseEntry } from '../../src/release/release-entry.ts';
import { type ReleaseSubject, releaseModule } from '../../src/release/release-module.ts';
import { parseSettings } from '../../src/repo/settings.ts';
import { openRegistries } from '../../src/source/registry/open-registries.ts';
import { gitlabCase, packageOf } from '../source/registry/kinds.ts';
import { runCli } from '../support/cli.ts';
import { errorOf } from '../support/error-of.ts';
import { createPlatform, lockedAt, type Platform } from '../support/platform.ts';
import { forgeToken, serveGithubReleases, serveGitlabReleases } from '../support/release-forges.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const quick = { retryDelayMs: 5, retries: 1 };

async function release(
  platform: Platform,
  settingsText: string,
  environment: NodeJS.ProcessEnv = {},
  { dryRun = false, ...more }: Partial<ReleaseSubject> & { readonly dryRun?: boolean } = {},
) {
  const settings = parseSettings(settingsText);
  const pinned = lockedAt(platform, 'HEAD', 'canary').find(({ alias }) => alias === 'orders');
  return releaseModule(
    {
      repository: await findRepository(platform.path),
      registries: openRegistries(settings, environment, quick),
      forges: openForges(settings, environment, quick),
      dryRun,
      signal: new AbortController().signal,
    },
    {
      module: packageOf('1.0.0'),
      contentDigest: pinned?.sha256 ?? '',
      commit: platform.git('rev-parse', 'HEAD'),
      section: '- Round totals half up.',
      ...more,
    },
  );
}

function directorySettings(t: TestContext): { readonly text: string; readonly directory: string } {
  const directory = join(temporaryDirectory(t, 'packages'), 'registry');
  return { directory, text: `registries:\n  - {kind: directory, url: ${directory}}\n` };
}

const entryOf = (platform: Platform, ring: string) =>
  JSON.parse(platform.read(`manifests/${ring}.lock.json`)).modules.orders;

test('writes artifact and released_at into every lock that pins the version, and nothing else', async (t) => {
  const platform = createPlatform(t);
  const { text, directory } = directorySettings(t);
  const before = platform.read('manifests/stable.lock.json');
  const report = await release(platform, text);
  assert.deepEqual(
    report.locks.map(({ ring, outcome }) => [ring, outcome]),
    [
      ['canary', 'written'],
      ['edge', 'written'],
      ['stable', 'written'],
    ],
  );
  const { artifact, released_at } = entryOf(platform, 'stable');
  const module = packageOf('1.0.0');
  assert.deepEqual(artifact, {
    url: `file://${directory}/orders/1.0.0/Orders-1.0.0.zip`,
    sha256: module.sha256,
    size_bytes: module.zip.length,
  });
  assert.match(released_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const lines = (content: string) => content.split('\n');
  const added = lines(platform.read('manifests/stable.lock.json')).filter(
    (line) => !lines(before).includes(line),
  );
  assert.equal(added.length, 6, added.join('\n'));
  const check = await runCli(platform.path, ['lock', '--check']);
  assert.equal(check.code, 0, check.stdout);
  assert.equal((await runCli(platform.path, ['lock'])).code, 0);
  assert.deepEqual(entryOf(platform, 'canary').artifact, artifact, '`lock` keeps it');
});

test('leaves locks that pin other bytes or another version', async (t) => {
  const platform = createPlatform(t);
  const { text } = directorySettings(t);
  platform.setVersion('Orders', '1.1.0');
  platform.git('add', '-A');
  assert.equal((await runCli(platform.path, ['lock'])).code, 0);
  const report = await release(platform, text);
  assert.deepEqual(
    report.locks.map(({ ring }) => ring),
    ['edge', 'stable'],
  );
  assert.equal(entryOf(platform, 'canary').artifact, null);
  const other = await release(platform, text, {}, { contentDigest: `sha256:${'0'.repeat(64)}` });
  assert.deepEqual(other.locks, []);
});

test('two clones that record the same release write the same bytes', async (t) => {
  const { text } = directorySettings(t);
  const one = createPlatform(t);
  await release(one, text);
  const two = createPlatform(t);
  const again = await release(two, text);
  assert.deepEqual(
    again.registries.map(({ outcome }) => outcome),
    ['same'],
  );
  assert.deepEqual(entryOf(two, 'edge'), entryOf(one, 'edge'));
});

test('a lock with conflict markers stays as it is, and is said', async (t) => {
  const platform = createPlatform(t);
  const { text } = directorySettings(t);
  const file = 'manifests/edge.lock.json';
  const conflicted = `<<<<<<< ours\n${platform.read(file)}=======\n${platform.read(file)}>>>>>>> theirs\n`;
  platform.write({ [file]: conflicted });
  const report = await release(platform, text);
  assert.equal(report.locks.find(({ ring }) => ring === 'edge')?.outcome, 'conflicted');
  assert.equal(platform.read(file), conflicted);
});

test('--dry-run writes nothing anywhere', async (t) => {
  const platform = createPlatform(t);
  const { text } = directorySettings(t);
  const report = await release(platform, text, {}, { dryRun: true });
  assert.deepEqual(
    report.registries.map(({ outcome }) => outcome),
    ['missing'],
  );
  assert.equal(platform.git('status', '--porcelain'), '');
  const settings = parseSettings(text);
  const [registry] = openRegistries(settings, {});
  assert.deepEqual(await registry?.versions('orders'), []);
});

test('publishes nowhere when one registry has other bytes under the version', async (t) => {
  const platform = createPlatform(t);
  const first = directorySettings(t);
  const second = directorySettings(t);
  await release(platform, second.text, {}, { module: packageOf('1.0.0', 'other bytes') });
  platform.git('checkout', '-q', '--', 'manifests');
  const both = `${first.text}  - {kind: directory, url: ${second.directory}}\n`;
  const error = await errorOf(release(platform, both));
  assert.equal(error.code, 'version-published');
  assert.equal(error.exitCode, 1);
  const [registry] = openRegistries(parseSettings(first.text), {});
  assert.deepEqual(await registry?.versions('orders'), []);
  assert.equal(platform.git('status', '--porcelain'), '');
});

test('a registry that is away keeps it from no other; the same again does the rest', async (t) => {
  const platform = createPlatform(t);
  const { open, proxy, url } = await gitlabCase.start(t);
  assert.ok(proxy !== undefined && open !== undefined);
  const { text } = directorySettings(t);
  const both = `${text}  - {kind: gitlab, url: '${url}', project: acme/modules}\n`;
  const environment = { MODULE_REGISTRY_TOKEN: 'glpat-write-0123456789abcdef' };
  proxy.fault = () => ({ status: 502 });
  const error = await errorOf(release(platform, both, environment));
  assert.equal(error.code, 'release-incomplete');
  assert.equal(error.exitCode, 3);
  assert.match(error.message, /orders 1\.0\.0 is not at every registry \(it is at the directory/);
  assert.match(error.message, /GitLab 127\.0\.0\.1:\d+ answers with 502/);
  assert.equal(platform.git('status', '--porcelain'), '', 'locks wait for the whole release');
  proxy.fault = () => undefined;
  const report = await release(platform, both, environment);
  assert.deepEqual(
    report.registries.map(({ outcome }) => outcome),
    ['same', 'published'],
  );
  assert.match(entryOf(platform, 'stable').artifact.url, /^file:/, 'the first one is preferred');
});

test('no registry at all is said, with how to name one', async (t) => {
  const platform = createPlatform(t);
  const error = await errorOf(release(platform, ''));
  assert.equal(error.code, 'no-registry');
  assert.equal(error.exitCode, 2);
});

for (const [kind, serve, header] of [
  ['gitlab', serveGitlabReleases, 'private-token'],
  ['github', serveGithubReleases, 'authorization'],
] as const) {
  const settingsOf = (text: string, url: string) =>
    `${text}releases:\n  - {kind: ${kind}, url: '${url}', project: acme/platform}\n`;
  const environment = { RINGLOCK_RELEASE_TOKEN: forgeToken };

  test(`${kind}: makes a release entry with the changelog section, once`, async (t) => {
    const platform = createPlatform(t);
    const forge = await serve(t);
    const web = await gitlabCase.start(t);
    const registries = `registries:\n  - {kind: gitlab, url: '${web.url}', project: acme/modules}\n`;
    const settings = settingsOf(registries, forge.url);
    const tokens = { ...environment, MODULE_REGISTRY_TOKEN: 'glpat-write-0123456789abcdef' };
    const first = await release(platform, settings, tokens);
    assert.deepEqual(
      first.entries.map(({ outcome }) => outcome),
      ['created'],
    );
    const [made] = forge.releases;
    assert.equal(made?.tag, 'orders@1.0.0');
    assert.equal(made?.name, 'Orders 1.0.0');
    assert.equal(made?.ref, platform.git('rev-parse', 'HEAD'));
    assert.match(made?.notes ?? '', /^- Round totals half up\./);
    const shown = kind === 'gitlab' ? JSON.stringify(made?.links) : made?.notes;
    const url = first.registries[0]?.artifact?.url ?? 'none';
    assert.ok(shown?.includes(url), shown);
    assert.ok(forge.received.every(({ headers }) => `${headers[header]}`.endsWith(forgeToken)));
    made.notes = `${made.notes}\nEdited by a person.`;
    const again = await release(platform, settings, tokens);
    assert.deepEqual(
      again.entries.map(({ outcome }) => outcome),
      ['same'],
    );
    assert.equal(forge.releases.length, 1);
    assert.match(forge.releases[0]?.notes ?? '', /Edited by a person/);
  });

  test(`${kind}: gives an entry that is there the links that it lacks`, async (t) => {
    const platform = createPlatform(t);
    const forge = await serve(t);
    const { text } = directorySettings(t);
    await release(platform, settingsOf(text, forge.url), environment);
    assert.deepEqual(forge.releases[0]?.links, [], 'no link to a directory of this machine');
    const web = await gitlabCase.start(t);
    const more = `${text}  - {kind: gitlab, url: '${web.url}', project: acme/modules}\n`;
    const tokens = { ...environment, MODULE_REGISTRY_TOKEN: 'glpat-write-0123456789abcdef' };
    const report = await release(platform, settingsOf(more, forge.url), tokens);
    assert.deepEqual(
      report.entries.map(({ outcome }) => outcome),
      ['completed'],
    );
    const again = await release(platform, settingsOf(more, forge.url), tokens);
    assert.deepEqual(
      again.entries.map(({ outcome }) => outcome),
      ['same'],
    );
  });

  test(`${kind}: a forge that fails leaves the package published, and is gone on from`, async (t) => {
    const platform = createPlatform(t);
    const forge = await serve(t);
    const { text } = directorySettings(t);
    const settings = settingsOf(text, forge.url);
    const denied = await errorOf(
      release(platform, settings, { RINGLOCK_RELEASE_TOKEN: 'wrong-0123456789' }),
    );
    assert.equal(denied.code, 'forge-unauthorized');
    assert.match(denied.message, /refuses RINGLOCK_RELEASE_TOKEN \(401\)/);
    forge.faults.push('cut', { status: 503 });
    const away = await errorOf(release(platform, settings, environment));
    assert.equal(away.exitCode, 3);
    const report = await release(platform, settings, environment);
    assert.deepEqual(
      report.registries.map(({ outcome }) => outcome),
      ['same'],
    );
    assert.deepEqual(
      report.entries.map(({ outcome }) => outcome),
      ['created'],
    );
  });
}

test('in CI the forge’s own token makes the entry, and goes to no other forge', async (t) => {
  const { text } = directorySettings(t);
  const gitlab = await serveGitlabReleases(t);
  const github = await serveGithubReleases(t);
  const on = (kind: string, url: string) =>
    `${text}releases:\n  - {kind: ${kind}, url: '${url}', project: acme/platform}\n`;
  const job = { CI_JOB_TOKEN: forgeToken, CI_SERVER_URL: gitlab.url };
  const actions = { GITHUB_TOKEN: forgeToken, GITHUB_API_URL: github.url };
  const platform = createPlatform(t);
  await release(platform, on('gitlab', gitlab.url), job);
  assert.equal(gitlab.received.at(-1)?.headers['job-token'], forgeToken);
  await release(platform, on('github', github.url), actions);
  assert.equal(github.releases.length, 1);
  for (const [settings, environment] of [
    [on('gitlab', gitlab.url), { ...job, CI_SERVER_URL: 'https://gitlab.example.com' }],
    [on('gitlab', gitlab.url), { CI_JOB_TOKEN: forgeToken }],
    [on('github', github.url), { GITHUB_TOKEN: forgeToken }],
  ] as const) {
    const error = await errorOf(release(platform, settings, environment));
    assert.equal(error.code, 'forge-unauthorized');
    assert.match(error.message, /refuses no credentials/);
    assert.match(error.hint ?? '', /RINGLOCK_RELEASE_TOKEN/);
  }
});

test('a mirror’s tag has to be there, and a prerelease is said to be one', async (t) => {
  const { text } = directorySettings(t);
  const platform = createPlatform(t);
  const gitlab = await serveGitlabReleases(t);
  const github = await serveGithubReleases(t);
  const environment = { RINGLOCK_RELEASE_TOKEN: forgeToken };
  // The stand-ins know acme/platform only: as if the module were called so.
  const module = { ...packageOf('1.1.0-beta.1'), alias: 'platform' };
  const mirror = (kind: string, url: string) =>
    `${text}releases:\n  - {kind: ${kind}, url: '${url}', project: 'acme/{alias}', tag: 'v{version}'}\n`;
  const error = await errorOf(
    release(platform, mirror('gitlab', gitlab.url), environment, { module }),
  );
  assert.equal(error.code, 'forge-failed');
  assert.match(error.message, /makes no release of v1\.1\.0-beta\.1 \(422\).*Ref is not specified/);
  assert.match(error.hint ?? '', /ringlock mirror/);
  gitlab.tags.add('v1.1.0-beta.1');
  await release(platform, mirror('gitlab', gitlab.url), environment, { module });
  assert.equal(gitlab.releases[0]?.ref, undefined);
  await release(platform, mirror('github', github.url), environment, { module });
  assert.equal(github.releases[0]?.prerelease, true);
  assert.equal(github.releases[0]?.tag, 'v1.1.0-beta.1');
});

test('gitlab: a link that another run makes at once, or whose answer was lost, is there', async (t) => {
  const forge = await serveGitlabReleases(t);
  const settings = parseSettings(
    `releases:\n  - {kind: gitlab, url: '${forge.url}', project: acme/platform}\n`,
  );
  const [gitlab] = openForges(settings, { RINGLOCK_RELEASE_TOKEN: forgeToken }, quick);
  const url = 'https://packages.example.com/Orders-1.0.0.zip';
  const placed = [
    { registry: 'one', artifact: { url, sha256: '', size_bytes: 1, released_at: null } },
  ];
  const entry = releaseEntry(packageOf('1.0.0'), 'x'.repeat(200_000), placed, 'c'.repeat(40));
  const signal = new AbortController().signal;
  await gitlab?.ensure({ ...entry, links: [] }, signal);
  assert.ok((forge.releases[0]?.notes.length ?? 0) < 125_000);
  await Promise.all([gitlab?.ensure(entry, signal), gitlab?.ensure(entry, signal)]);
  assert.deepEqual(
    forge.releases[0]?.links.map((link) => link.url),
    [url],
  );
  const posts = forge.received.filter(({ path }) => path.endsWith('/assets/links'));
  assert.equal(posts.length, 2, 'both were asked for at once');
  // Another link of that name is no success.
  const other = { ...entry, links: [{ name: 'Orders-1.0.0.zip', url: `${url}?other` }] };
  await assert.rejects(async () => gitlab?.ensure(other, signal), /Name has been taken|400/);
});
