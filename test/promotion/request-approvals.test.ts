import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findRepository } from '../../src/git/git-command.ts';
import { openGateSources } from '../../src/promotion/gate-sources.ts';
import { requestPromotion } from '../../src/promotion/request-promotion.ts';
import { approvalLine } from '../../src/repo/approval-text.ts';
import { openPackages } from '../../src/source/registry/registry-packages.ts';
import { gitEnvironment, openRepository } from '../support/repository.ts';
import { requestToken, serveRequests } from '../support/request-forges.ts';
import { createSshKey, withoutSshKeygen } from '../support/signing.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { entryOf, gatedPlatform } from './gated-platform.ts';

test('a request asks for approvals as the remote has them, and its commit is signed as git is set up', {
  skip: withoutSshKeygen(),
}, async (t) => {
  const platform = await gatedPlatform(t, 'approvals: 1\napprovers: [bob@example.com]');
  const bare = openRepository(platform.addRemote(t));
  const forge = await serveRequests(t, 'gitlab', bare.path);
  const key = createSshKey(t);
  const allowedSigners = join(temporaryDirectory(t, 'signers'), 'allowed');
  writeFileSync(allowedSigners, `bob@example.com ${key.line}\n`);
  platform.git('config', 'gpg.format', 'ssh');
  platform.git('config', 'user.signingKey', key.path);
  platform.git('config', 'commit.gpgSign', 'true');
  const settings = `mergeRequests: {kind: gitlab, url: "${forge.url}", project: acme/platform}\n`;
  platform.write({ 'manifests/ringlock.yaml': settings });

  const repository = await findRepository(platform.path);
  const ask = async () => {
    const environment = {
      ...{ ...process.env, RINGLOCK_REQUEST_TOKEN: requestToken, RINGLOCK_REQUEST_URL: forge.url },
    };
    const place = { workingDirectory: '/', environment, now: new Date() };
    const sources = await openGateSources({ allowedSigners }, repository, place);
    const wish = {
      ...{ from: 'canary', to: 'edge', modules: ['orders'], withDependencies: false },
      ...{ allowDowngrade: false, movePlatform: false, reason: undefined, override: undefined },
    };
    const options = { remote: 'origin', again: false, dryRun: false };
    const { signal } = new AbortController();
    return requestPromotion(repository, wish, sources, openPackages, options, signal);
  };
  const tag = 'approve/edge/orders@1.1.0/bob';
  const line = approvalLine({ ring: 'edge', alias: 'orders', ...entryOf(platform, 'canary') });
  execFileSync('git', ['tag', '-s', '-m', `Approve\n\n${line}`, tag], {
    cwd: platform.path,
    env: { ...gitEnvironment, GIT_COMMITTER_EMAIL: 'bob@example.com' },
  });
  await assert.rejects(
    ask(),
    { code: 'gates-closed' },
    'nobody else can see a tag that is here alone',
  );
  platform.git('push', '-q', 'origin', tag);
  platform.git('tag', '-d', tag);
  const { outcome } = await ask();
  assert.equal(outcome.state, 'opened');
  assert.match(
    forge.requests[0]?.text ?? '',
    /#### Gates\n\n- `orders` `approvals: .*bob@example\.com/,
  );
  assert.match(bare.git('cat-file', 'commit', outcome.branch), /^gpgsig -----BEGIN SSH SIGNATURE/m);
  bare.git('tag', '-d', tag);
  await assert.rejects(ask(), { code: 'gates-closed' });
  assert.deepEqual(forge.changes, ['POST']);
});
