import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { Attempt } from '../../src/reconcile/attempt.ts';
import { writeZip } from '../../src/release/zip-writer.ts';
import { defaultLimits } from '../../src/repo/limits.ts';
import { artifactSource } from '../../src/source/artifact/artifact-source.ts';
import { readUrl } from '../../src/source/artifact/read-url.ts';
import { takeFromSources } from '../../src/source/source-chain.ts';
import { takeTurns } from '../../src/source/turn-source.ts';
import { Connections } from '../../src/wire/connections.ts';
import { serveFiles } from '../support/file-server.ts';
import { serveGit } from '../support/git-server.ts';
import { passInProcess } from '../support/in-process.ts';
import { createPlatform } from '../support/platform.ts';
import { temporaryDirectory } from '../support/temporary.ts';

describe('a server that crawls, never silent for long', { concurrency: true }, () => {
  it('leaves time for the next source, and is asked last for the next module', async (t) => {
    const zip = writeZip([{ path: 'module.json', executable: false, content: Buffer.from('{}') }]);
    const directory = temporaryDirectory(t, 'files');
    writeFileSync(join(directory, 'a.zip'), zip);
    const slow = await serveFiles(t, directory);
    slow.setFault({ kind: 'drip' });
    const good = await serveFiles(t, directory);
    const connections = new Connections({
      ...{ idleTimeoutMs: 30_000, caFile: undefined, environment: {} },
    });
    t.after(() => connections.close());
    const attempt = new Attempt(3_000);
    const signal = () => attempt.signal;
    const read = readUrl({
      ...{ connections, idleTimeoutMs: 30_000, registryUrl: undefined },
      token: async () => undefined,
    });
    const sourceAt = (name: string, server: { readonly url: string }) => ({
      ...artifactSource({
        ...{ signal, isAllowed: () => true, limits: defaultLimits, maxFiles: 10 },
        staging: temporaryDirectory(t, 'staging'),
        readArtifact: (artifact, until) => read({ ...artifact, url: `${server.url}/a.zip` }, until),
      }),
      name,
    });
    const sources = takeTurns([sourceAt('slow', slow), sourceAt('good', good)], (whose, ask) =>
      attempt.turn(whose, ask),
    );
    const sha256 = `sha256:${createHash('sha256').update(zip).digest('hex')}`;
    const entry = {
      ...{ version: '1.0.0', directory: 'A', source: null, tree: null, sha256, file_count: 1 },
      ...{ size_bytes: 2, released_at: null },
      artifact: { url: 'https://none.example/a.zip', sha256, size_bytes: zip.length },
    };
    const take = async (files: AsyncIterable<unknown>) => {
      for await (const file of files) assert.ok(file);
    };
    const ending = new AbortController().signal;
    attempt.begin(ending);
    for (const _ of [1, 2, 3]) {
      assert.equal(await takeFromSources(sources, { alias: 'a', entry }, take), 'good');
    }
    assert.equal(attempt.failure, undefined);
    attempt.end(ending);
    assert.equal(slow.requests.length, 1);
  });

  it('leaves time for the next repository', async (t) => {
    const platform = createPlatform(t);
    const bare = platform.addRemote(t);
    const [slow, good] = [await serveGit(t, dirname(bare)), await serveGit(t, dirname(bare))];
    slow.setFault({ kind: 'drip' }, { on: 'fetch', skip: 1 });
    const repositories = [slow, good].map(({ url }) => `${url}/${basename(bare)}`);
    const root = temporaryDirectory(t, 'root');
    const given = { repositories, timeoutMs: 8_000 };
    const { code, status } = await passInProcess({ repo: '', root }, given);
    assert.equal(code, 0, status.last_error?.message);
    assert.equal(status.state, 'converged');
  });
});
