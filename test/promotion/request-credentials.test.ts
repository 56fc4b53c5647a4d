import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { openRequests } from '../../src/promotion/open-requests.ts';
import { isForgesRemote, readRequestToken } from '../../src/promotion/request-credentials.ts';
import { requestSettings } from '../../src/repo/request-settings.ts';
import { parseSettings } from '../../src/repo/settings.ts';
import { createPlatform } from '../support/platform.ts';

const gitlab = requestSettings({ kind: 'gitlab', url: 'https://git.example.com/', project: 'a/b' });
const github = requestSettings({ kind: 'github', project: 'a/b' });
const own = { RINGLOCK_REQUEST_TOKEN: 'token-0123456789' };

test('a token goes to the server of the clone’s remote, or to the one that the environment names', async () => {
  for (const remote of [
    'https://git.example.com/a/b.git',
    'https://oauth2:old@git.example.com:8443/a/b.git',
    'ssh://git@git.example.com:2222/a/b.git',
    'git@git.example.com:a/b.git',
  ]) {
    const read = await readRequestToken(gitlab, remote, own);
    assert.deepEqual(read, { token: 'token-0123456789', source: 'RINGLOCK_REQUEST_TOKEN' }, remote);
  }
  for (const remote of [
    'https://evil.example.com/a/b.git',
    'git@example.com:a/b.git',
    '/srv/b.git',
  ]) {
    await assert.rejects(readRequestToken(gitlab, remote, own), { code: 'token-not-for-server' });
  }
  const named = { ...own, RINGLOCK_REQUEST_URL: 'https://git.example.com' };
  assert.ok(await readRequestToken(gitlab, '/srv/b.git', named));
  const elsewhere = { ...own, RINGLOCK_REQUEST_URL: 'https://other.example.com' };
  await assert.rejects(readRequestToken(gitlab, 'https://git.example.com/a/b.git', elsewhere), {
    code: 'token-not-for-server',
    hint: "Set RINGLOCK_REQUEST_URL to https://git.example.com, if that is the token's server.",
  });
  assert.ok(await readRequestToken(github, 'git@github.com:a/b.git', own));
});

test('the token of Actions goes to its own API alone, and none to git elsewhere', async () => {
  const actions = { GITHUB_TOKEN: 'actions-0123456789' };
  assert.equal((await readRequestToken(github, 'x', actions))?.source, 'GITHUB_TOKEN');
  const enterprise = requestSettings({
    kind: 'github',
    url: 'https://ghe.example.com/api/v3',
    project: 'a/b',
  });
  assert.equal(await readRequestToken(enterprise, 'x', actions), undefined);
  const api = { ...actions, GITHUB_API_URL: 'https://ghe.example.com/api/v3' };
  assert.ok(await readRequestToken(enterprise, 'x', api));
  assert.equal(await readRequestToken(gitlab, 'https://git.example.com/a/b', actions), undefined);
  assert.equal(isForgesRemote(github, 'https://github.com/a/b'), true);
  assert.equal(isForgesRemote(github, 'https://github.com.example.com/a/b'), false);
  assert.equal(isForgesRemote(gitlab, 'git@git.example.com:a/b.git'), false);
});

test('the forge is what the settings say, else the one whose pipeline it is', async (t) => {
  const platform = createPlatform(t, { rings: ['canary'] });
  const repository = await findRepository(platform.path);
  const origin = 'https://user:secret-in-url@gitlab.com/acme/platform.git';
  platform.git('remote', 'add', 'origin', origin);
  const token = { RINGLOCK_REQUEST_TOKEN: 'token/0123456789' };
  const opened = await openRequests(
    repository,
    { mergeRequests: undefined },
    {
      remoteName: 'origin',
      environment: {
        CI_SERVER_URL: 'https://gitlab.com',
        CI_PROJECT_PATH: 'acme/platform',
        ...token,
      },
      trust: {},
    },
  );
  assert.equal(opened.forge.display, 'GitLab (acme/platform at https://gitlab.com)');
  assert.equal(opened.remote.place, 'https://gitlab.com/acme/platform.git');
  assert.equal(opened.remote.display, 'https://gitlab.com/acme/platform.git');
  const config = Object.entries(opened.remote.env).filter(([name]) =>
    name.startsWith('GIT_CONFIG_'),
  );
  const header = config.find(([, value]) => value.startsWith('Authorization: Basic '))?.[1] ?? '';
  const sent = Buffer.from(header.split(' ').at(-1) ?? '', 'base64').toString();
  assert.equal(sent, 'oauth2:token/0123456789');
  const open = (remote: string, environment = {}) =>
    openRequests(
      repository,
      { mergeRequests: undefined },
      { remoteName: remote, environment, trust: {} },
    );
  await assert.rejects(open('origin'), { code: 'requests-not-set-up' });
  const actions = { GITHUB_API_URL: 'https://api.github.com', GITHUB_REPOSITORY: 'acme/platform' };
  assert.match((await open('origin', actions)).forge.display, /^GitHub \(acme\/platform at/);
  await assert.rejects(open('upstream', actions), {
    code: 'no-such-remote',
    hint: 'Remotes here: origin; name one with --remote.',
  });
});

test('settings of requests are refused where they are no server or project', () => {
  const settings = (text: string) => parseSettings(`mergeRequests: ${text}`).mergeRequests;
  assert.deepEqual(settings('{kind: github, project: a/b}'), {
    ...{ kind: 'github', url: 'https://api.github.com', project: 'a/b' },
  });
  for (const text of [
    '{kind: gitlab, project: a/b}',
    '{kind: github, project: a/b/c}',
    '{kind: gitlab, url: "https://u:p@git.example.com", project: a/b}',
    '{kind: gitlab, url: "https://git.example.com?x", project: a/b}',
    '{kind: gitlab, url: "https://git.example.com", project: ../b c}',
    '{kind: gitea, url: "https://git.example.com", project: a/b}',
  ]) {
    assert.throws(() => settings(text), { code: 'invalid-file' }, text);
  }
});
