import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { statusReceiver } from '../../src/outward/status-receiver.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { type Forge, forgeToken, serveGithub, serveGitlab } from './forges.ts';
import {
  commitOf,
  convergedAt,
  refusedAt,
  startTeller,
  type Teller,
  type TellerOptions,
} from './support.ts';

const commit = commitOf('a');
const converging = convergedAt(commitOf('0'), { state: 'converging', commit });

async function startForge(
  t: TestContext,
  kind: 'gitlab' | 'github',
  options: TellerOptions & { hasCommit?: (sha: string) => boolean; token?: string } = {},
): Promise<{ forge: Forge; teller: Teller; tokenFile: string }> {
  const { hasCommit, token = forgeToken, ...rest } = options;
  const forge = await (kind === 'gitlab' ? serveGitlab : serveGithub)(t, hasCommit);
  const tokenFile = join(temporaryDirectory(t, 'secret'), 'token');
  writeFileSync(tokenFile, `${token}\n`);
  const environment = { RINGLOCK_STATUS_TOKEN_FILE: tokenFile };
  const receiver = statusReceiver(kind, '/srv/platform.git', forge.project, environment);
  return { forge, teller: await startTeller(t, [receiver], rest), tokenFile };
}

const statesOf = ({ statuses }: Forge) => statuses.map(({ state }) => state);

describe("a commit's status at GitLab", { concurrency: true }, () => {
  it('runs, and then is a success with how long it took or that there was nothing to do', async (t) => {
    const { forge, teller } = await startForge(t, 'gitlab');
    await teller.tell(converging);
    assert.deepEqual(statesOf(forge), ['running']);
    await teller.tell(convergedAt(commit));
    assert.deepEqual(forge.statuses, [
      {
        sha: commit,
        name: 'ringlock/edge',
        description: 'edge: converged, nothing to change',
        ref: 'main',
        state: 'success',
      },
    ]);
  });

  it('fails with the reason, cut to what GitLab takes', async (t) => {
    const { forge, teller } = await startForge(t, 'gitlab');
    await teller.tell(refusedAt(commit, `orders is wrong\n${'very '.repeat(100)}`));
    const [status] = forge.statuses;
    assert.equal(status?.state, 'failed');
    assert.match(status?.description ?? '', /^edge: refused: orders is wrong very .*…$/);
    assert.equal(status?.description.length, 255);
  });

  it('is no trouble when GitLab has it already', async (t) => {
    const { forge, teller } = await startForge(t, 'gitlab');
    forge.statuses.push({
      ...{ sha: commit, name: 'ringlock/edge', description: '', ref: 'main', state: 'running' },
    });
    await teller.tell(converging);
    assert.equal(forge.received.length, 1);
    assert.doesNotMatch(teller.log(), /refuse|not told/);
    await teller.tell(convergedAt(commit));
    assert.deepEqual(statesOf(forge), ['success']);
  });

  it('is the last word only: what was overtaken while GitLab was away is not told', async (t) => {
    let now = Date.now();
    const { forge, teller } = await startForge(t, 'gitlab', {
      now: () => new Date(now),
      schedule: { firstPauseMs: 60_000 },
    });
    forge.faults.push('cut');
    await teller.tell(converging);
    await teller.tell(refusedAt(commit));
    assert.equal(forge.received.length, 1);
    now += 60_000;
    await teller.tell(convergedAt(commit));
    assert.deepEqual(statesOf(forge), ['success']);
    assert.equal(forge.received.length, 2);
  });

  it('says what to do about a token that is not known, and takes the new one from its file', async (t) => {
    const { forge, teller, tokenFile } = await startForge(t, 'gitlab', {
      token: 'old-token-987654',
    });
    await teller.tell(refusedAt(commit));
    assert.match(teller.log(), /401 Unauthorized.*RINGLOCK_STATUS_TOKEN: has it expired/);
    assert.doesNotMatch(teller.log() + teller.kept(), /old-token/);
    writeFileSync(tokenFile, forgeToken);
    await teller.tell(convergedAt(commit));
    assert.deepEqual(statesOf(forge), ['success']);
  });

  it('is final when GitLab does not know the commit, and of no interest to the next one', async (t) => {
    const { forge, teller } = await startForge(t, 'gitlab', { hasCommit: (sha) => sha !== commit });
    await teller.tell(convergedAt(commit));
    assert.match(teller.log(), /answers 404: .*Commit Not Found.*--commit-status-url/);
    await teller.tell(convergedAt(commitOf('b')));
    assert.deepEqual(statesOf(forge), ['success']);
    assert.equal(forge.received.length, 2);
  });
});

describe("a commit's status at GitHub", { concurrency: true }, () => {
  it('is pending, and then what came of it, in 140 characters', async (t) => {
    const { forge, teller } = await startForge(t, 'github');
    await teller.tell(converging);
    await teller.tell(refusedAt(commit, 'very '.repeat(100)));
    await teller.tell(convergedAt(commitOf('b')));
    assert.deepEqual(statesOf(forge), ['pending', 'failure', 'success']);
    assert.equal(forge.statuses[1]?.description.length, 140);
    assert.equal(forge.statuses[1]?.name, 'ringlock/edge');
    assert.equal(forge.received[0]?.headers['x-github-api-version'], '2022-11-28');
  });

  it('is an error where the environment fails before the commit is deployed, not after', async (t) => {
    const { forge, teller } = await startForge(t, 'github');
    const last_error = { code: 'disk-full', message: 'no space', at: '2026-01-01T00:00:00.000Z' };
    const full = convergedAt(commitOf('0'), { state: 'failed', commit, last_error });
    await teller.tell(full);
    await teller.tell(convergedAt(commit));
    await teller.tell({ ...full, converged_commit: commit });
    assert.deepEqual(statesOf(forge), ['error', 'success']);
  });

  it('waits until GitHub’s limit is over, which it also says with 403', async (t) => {
    const { forge, teller } = await startForge(t, 'github');
    const reset = Math.ceil(Date.now() / 1000) + 1800;
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(reset) };
    forge.faults.push({ status: 403, headers, body: { message: 'API rate limit exceeded' } });
    await teller.tell(convergedAt(commit));
    const [pause] = Object.values(JSON.parse(teller.kept()).pauses) as { notBefore: string }[];
    assert.ok(Date.parse(pause?.notBefore ?? '') >= (reset - 2) * 1000, pause?.notBefore);
    assert.equal(forge.received.length, 1);
  });

  it('is refused for good with 403 and 422', async (t) => {
    const { forge, teller } = await startForge(t, 'github', { hasCommit: () => false });
    forge.faults.push({ status: 403, body: { message: 'Resource not accessible by token' } });
    await teller.tell(convergedAt(commit));
    await teller.tell(convergedAt(commitOf('b')));
    assert.match(teller.log(), /not accessible by token.*needs to write commit statuses/);
    assert.match(teller.log(), /answers 422: .*No commit found for SHA/);
    assert.deepEqual(JSON.parse(teller.kept()).queue, []);
  });
});
