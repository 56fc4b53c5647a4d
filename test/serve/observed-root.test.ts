import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { packFilesOf } from '../support/damaged-root.ts';
import { deploy, release } from '../support/deploy.ts';
import { type Family, parseExposition, sampleValue } from '../support/exposition.ts';
import { serveGit } from '../support/git-server.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { type Sidecar, startSidecar } from '../support/sidecar.ts';

const password = 'hunter2hunter2';

/** A sidecar that follows a platform over HTTP, with a password in the URL. */
async function startRing(t: TestContext) {
  const platform = createPlatform(t);
  const remote = platform.addRemote(t);
  const auth = { user: 'deploy', password };
  const server = await serveGit(t, dirname(remote), { auth });
  const url = new URL(`${server.url}/${basename(remote)}`);
  Object.assign(url, { username: auth.user, password });
  return { platform, remote, server, sidecar: await startSidecar(t, url.href) };
}

const metricsOf = async (sidecar: Sidecar) =>
  parseExposition(await (await sidecar.get('/metrics')).text());

async function statusOf(sidecar: Sidecar): Promise<Record<string, unknown>> {
  return (await (await sidecar.get('/api/status')).json()) as Record<string, unknown>;
}

const readyz = async (sidecar: Sidecar) => {
  const response = await sidecar.get('/readyz');
  return `${response.status} ${(await response.text()).trim()}`;
};

/** Changes a byte of what `current` serves of Orders, behind the reconciler's back. */
function damage({ opened }: Sidecar): void {
  const path = join(opened.root.path, 'current/Orders/src/index.mjs');
  chmodSync(path, 0o644);
  appendFileSync(path, '// damaged\n');
}

function suspend(platform: Platform): void {
  const file = 'manifests/canary.ring.yaml';
  const text = `${platform.read(file)}suspended: {reason: freeze}\n`;
  platform.write({ [file]: text });
  deploy(platform, 'Suspend canary');
}

describe('what is seen of a root', { concurrency: 2 }, () => {
  it('/metrics says what was done, in Prometheus text, and each metric is documented', async (t) => {
    const { platform, sidecar } = await startRing(t);
    const before = await metricsOf(sidecar);
    assert.equal(sampleValue(before, 'ringlock_generation'), -1);
    assert.equal(before.get('ringlock_last_sync_timestamp_seconds'), undefined);
    assert.equal(
      sampleValue(before, 'ringlock_operations_total', { kind: 'repair', outcome: 'committed' }),
      0,
    );
    await sidecar.pass();
    const since = Date.now() / 1000;
    release(platform, 'Orders', '1.0.1');
    const commit = deploy(platform, 'Orders 1.0.1');
    await sidecar.pass();
    damage(sidecar);
    await sidecar.pass();
    platform.write({ 'manifests/canary.lock.json': '{' });
    platform.git('add', '-A');
    platform.commit('Break the lock');
    platform.git('push', '-q', '--no-verify', 'origin', 'HEAD');
    await sidecar.pass();
    const after = await metricsOf(sidecar);
    const value = (name: string, labels?: Record<string, string>) =>
      sampleValue(after, `ringlock_${name}`, labels);
    assert.equal(value('operations_total', { kind: 'deploy', outcome: 'committed' }), 2);
    assert.equal(value('operations_total', { kind: 'repair', outcome: 'committed' }), 1);
    assert.equal(value('module_steps_total', { action: 'install' }), 4);
    assert.equal(value('module_steps_total', { action: 'upgrade' }), 1);
    assert.equal(value('module_steps_total', { action: 'repair' }), 1);
    assert.equal(value('drifted_modules'), 0);
    assert.equal(value('commit_info', { commit, ring: 'canary', replica: 'r0' }), 1);
    assert.equal(value('observed_commit_info', { commit: platform.git('rev-parse', 'HEAD') }), 1);
    assert.equal(value('module_info', { module: 'orders', version: '1.0.1' }), 1);
    assert.ok((value('last_sync_timestamp_seconds') ?? 0) >= since);
    assert.equal(value('state', { state: 'refused' }), 1);
    assert.equal(value('failures_total'), 1);
    assert.equal(value('operation_duration_seconds_count', { kind: 'deploy' }), 2);
    assert.equal(value('operation_phase_duration_seconds_count', { phase: 'switch' }), 3);
    assert.ok((value('pass_duration_seconds_count') ?? 0) === 4);
    assert.ok((value('git_received_bytes_total') ?? 0) > 500);
    assert.ok((value('git_requests_total') ?? 0) >= 8);
    assert.ok((value('git_request_duration_seconds_count', { request: 'tip' }) ?? 0) >= 4);
    assert.equal(value('build_info', { version: 'test' }), 1);
    assert.ok((sampleValue(after, 'process_resident_memory_bytes') ?? 0) > 1e7);
    assertDocumented(after);
  });

  it('/api/status says what runs here, since when and by whose commit', async (t) => {
    const { platform, sidecar } = await startRing(t);
    await sidecar.pass();
    const first = platform.git('rev-parse', 'HEAD');
    release(platform, 'Orders', '1.0.1');
    const second = deploy(platform, 'Orders 1.0.1');
    await sidecar.pass();
    const status = await statusOf(sidecar);
    const { ring, branch, state, commit, ready, last_error, drift, operation } = status;
    assert.deepEqual(
      { ring, branch, state, commit, ready, last_error, drift, operation },
      {
        ...{ ring: 'canary', branch: 'main', state: 'converged', commit: second, ready: true },
        ...{ last_error: null, drift: {}, operation: null },
      },
    );
    const modules = status['modules'] as Record<string, Record<string, unknown>>;
    const author = platform.git('show', '-s', '--format=%an <%ae>');
    assert.deepEqual(
      Object.entries(modules).map(([alias, { version, commit: at, by }]) => [
        alias,
        version,
        at,
        by,
      ]),
      [
        ['communications', '1.0.0', first, author],
        ['mobile-app', '0.3.0', first, author],
        ['orders', '1.0.1', second, author],
        ['products', '1.0.0', first, author],
      ],
    );
    const times = ['products', 'orders'].map((alias) =>
      Date.parse(String(modules[alias]?.['since'])),
    );
    assert.ok((times[0] ?? 0) < (times[1] ?? 0));
    const generation = status['generation'] as Record<string, string | number>;
    assert.equal(generation['number'], 2);
    assert.ok(
      Date.parse(String(generation['switched_at'])) >=
        Date.parse(String(generation['built_at'])) - 1000,
    );
    const due = Date.parse(String(status['next_pass_at'])) - Date.now();
    assert.ok(due > 20_000 && due < 32_000, `${due} ms until the next pass`);
  });

  it('keeps the password of its repository to itself', async (t) => {
    const { sidecar } = await startRing(t);
    await sidecar.pass();
    for (const path of ['/metrics', '/api/status', '/api/health']) {
      const text = await (await sidecar.get(path)).text();
      assert.ok(!text.includes(password), path);
    }
    assert.ok(!JSON.stringify(sidecar.lines).includes(password));
  });

  it('answers HEAD, If-None-Match, wrong methods and unknown paths as HTTP has it', async (t) => {
    const sidecar = await startSidecar(t, createPlatform(t).path);
    await sidecar.pass();
    const full = await sidecar.get('/api/status');
    const etag = full.headers.get('etag') ?? '';
    const again = await sidecar.get('/api/status', { headers: { 'if-none-match': etag } });
    assert.deepEqual([full.status, again.status, await again.text()], [200, 304, '']);
    const table: [method: string, path: string, status: number, allow: string | null][] = [
      ['HEAD', '/api/status', 200, null],
      ['HEAD', '/metrics', 200, null],
      ['HEAD', '/healthz', 200, null],
      ['POST', '/api/status', 405, 'GET, HEAD'],
      ['DELETE', '/metrics', 405, 'GET, HEAD'],
      ['GET', '/api', 404, null],
      ['GET', '/api/status/', 404, null],
      ['GET', '/', 404, null],
      ['POST', '/webhook', 404, null],
    ];
    for (const [method, path, status, allow] of table) {
      const response = await sidecar.get(path, { method });
      const found = [response.status, response.headers.get('allow')];
      assert.deepEqual(found, [status, allow], `${method} ${path}`);
      if (method === 'HEAD') assert.equal(await response.text(), '');
    }
  });

  it('is ready as long as the lock or the last good one serves, and no longer', async (t) => {
    const platform = createPlatform(t);
    const remote = platform.addRemote(t);
    const sidecar = await startSidecar(t, remote);
    assert.equal(await readyz(sidecar), '503 no generation serves yet');
    assert.equal((await sidecar.pass()).state, 'converged');
    assert.equal(await readyz(sidecar), '200 ok');

    renameSync(remote, `${remote}.away`);
    assert.notEqual((await sidecar.pass()).state, 'converged');
    assert.equal(await readyz(sidecar), '200 ok', 'git is away');

    damage(sidecar);
    for (const pack of packFilesOf(sidecar.opened.root.path)) truncateSync(pack, 20);
    await sidecar.pass();
    assert.match(await readyz(sidecar), /^503 orders is not as locked, and was not put back: /);
    assert.deepEqual(Object.keys((await statusOf(sidecar))['drift'] as object), ['orders']);
    assert.equal(sampleValue(await metricsOf(sidecar), 'ringlock_drifted_modules'), 1);

    renameSync(`${remote}.away`, remote);
    assert.equal((await sidecar.pass()).state, 'converged');
    assert.equal(await readyz(sidecar), '200 ok', 'it was put back');

    rmSync(join(sidecar.opened.root.path, 'current'));
    assert.equal(await readyz(sidecar), '503 current is gone');
    await sidecar.pass();
    assert.equal(await readyz(sidecar), '200 ok', 'current is back');

    suspend(platform);
    assert.equal((await sidecar.pass()).state, 'suspended');
    damage(sidecar);
    assert.equal((await sidecar.pass()).state, 'suspended');
    assert.equal(await readyz(sidecar), '200 ok', 'suspended');
    assert.equal(sampleValue(await metricsOf(sidecar), 'ringlock_suspended'), 1);

    platform.git('reset', '-q', '--hard', 'HEAD~1');
    platform.git('commit', '-q', '--amend', '--no-verify', '-m', 'Another history');
    platform.git('push', '-q', '--force', '--no-verify', 'origin', 'HEAD');
    const { state, last_error } = await sidecar.pass();
    assert.deepEqual([state, last_error?.code], ['refused', 'branch-rewritten']);
    assert.equal(await readyz(sidecar), '200 ok', 'the branch was rewritten');
  });

  it('names the operation on every line that belongs to it, and says each change of state', async (t) => {
    const platform = createPlatform(t);
    const sidecar = await startSidecar(t, platform.path);
    await sidecar.pass();
    await sidecar.pass();
    const { lines } = sidecar;
    const begin = lines.find(({ message }) => message === 'operation begins');
    assert.ok(begin !== undefined);
    assert.equal((begin.fields['steps'] as string[]).length, 4);
    const ofOperation = lines.filter(({ fields }) => fields['operation'] !== undefined);
    assert.deepEqual(new Set(ofOperation.map(({ fields }) => fields['operation'])).size, 1);
    const about = (line: { message: string }) =>
      /^(operation|install|phase|converged)\b/.test(line.message);
    assert.deepEqual(ofOperation, lines.filter(about));
    const changes = lines.filter(({ message }) => message.includes('→'));
    assert.deepEqual(
      changes.map(({ message }) => message),
      ['starting → converged'],
    );
  });
});

/** Every metric is in the documentation's table, and nothing else is. */
function assertDocumented(families: ReadonlyMap<string, Family>): void {
  const text = readFileSync(join(import.meta.dirname, '../../docs/observability.md'), 'utf8');
  const listed = [
    ...text.matchAll(
      /^\| `((?:ringlock|process|nodejs)_[a-z_]+)(?:\{([a-z, ]*)\})?` +\| (counter|gauge|histogram) /gm,
    ),
  ];
  const documented = listed.map(([, name, labels = '', type]) => `${name} ${type} {${labels}}`);
  const optional = ['ringlock_audit_outbox_events'];
  const found = [...families.values()].map(({ name, type, samples }) => {
    const names = new Set(samples.flatMap(({ labels }) => Object.keys(labels)));
    const own = [...names].filter((label) => !['ring', 'replica', 'le'].includes(label));
    return `${name} ${type} {${own.join(', ')}}`;
  });
  const named = new Map(documented.map((line) => [line.split(' ')[0] ?? '', line]));
  for (const line of found) {
    const [name = ''] = line.split(' ');
    const isEmpty = (families.get(name)?.samples.length ?? 0) === 0;
    const expected = isEmpty ? named.get(name)?.replace(/\{.*/, '{}') : named.get(name);
    assert.equal(line, expected, `docs/observability.md has ${name}`);
  }
  const known = new Set([...families.keys(), ...optional]);
  assert.deepEqual(
    [...named.keys()].filter((name) => !known.has(name)),
    [],
  );
}
