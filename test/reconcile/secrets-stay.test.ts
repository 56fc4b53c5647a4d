import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import test, { after, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { deploy, release, statusIfAny } from '../support/deploy.ts';
import { serveGit } from '../support/git-server.ts';
import { createPlatform, type Platform } from '../support/platform.ts';
import { createDatabase, freePort, stopOwnPostgres } from '../support/postgres.ts';
import { query } from '../support/query.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { waitUntil } from '../support/wait-until.ts';
import { startWatching } from '../support/watching.ts';

after(stopOwnPostgres);

/** Where each one is read: a name that tells it apart, and characters that somebody escapes. */
const words = {
  gitUrl: 'gitUrl+word/1 (x)',
  gitToken: 'gitToken.*word[2]$',
  rotatedToken: 'rotated"Token\\3 é',
  database: 'database&word=4?',
  migrations: 'migrations:word@5',
  proxy: 'proxy%word<6>',
  notify: 'notify-word-7',
  health: 'q(+z',
  environment: 'environment word 8',
};
const all = Object.values(words);
const userOf: Readonly<Record<string, string>> = {
  [words.gitUrl]: 'deploy',
  [words.proxy]: 'pod',
  [words.health]: 'probe',
};

const base64 = (text: string) => Buffer.from(text).toString('base64');
const percent = encodeURIComponent;

/** What a hostile or careless program may print of those that are in use. */
const printed = (marker: string, used = all) =>
  [
    marker,
    ...used.flatMap((word) => [
      word,
      percent(word),
      base64(word),
      base64(`${userOf[word] ?? 'oauth2'}:${word}`),
    ]),
    JSON.stringify(used),
    `Authorization: Basic ${base64(`deploy:${words.gitUrl}`)}`,
    `postgres://app:${percent(words.database)}@db/orders`,
  ].join('\n');

/** A module whose handler prints what stands in a file, and ends as it is told. */
function writeHandler(platform: Platform, version: string, file: string, code: number): void {
  const read = (path: string) => JSON.parse(platform.read(path));
  const path = 'modules/Orders/module.json';
  const lifecycle = { onUpgrade: { run: 'lifecycle/tell.mjs' } };
  platform.write({
    [path]: `${JSON.stringify({ ...read(path), version, lifecycle }, null, 2)}\n`,
    'modules/Orders/lifecycle/tell.mjs': `import { readFileSync } from 'node:fs';
const words = readFileSync(${JSON.stringify(file)}, 'utf8');
console.log(words);
console.error('${version} says', words.split('\\n')[3], words.split('\\n')[5]);
process.exitCode = ${code};
`,
  });
}

/** An application that is well, and repeats what it was asked once it is told to. */
async function serveEcho(t: TestContext) {
  let isEchoing = false;
  const server = createServer((request, response) => {
    if (request.method === 'GET') return void response.end('well');
    const echo = `${request.url} ${JSON.stringify(request.headers)} ${printed('application-said')}`;
    response.writeHead(isEchoing ? 422 : 200).end(isEchoing ? echo : 'reloaded');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, () => void server.close());
  const { port } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${port}`, echo: () => (isEchoing = true) };
}

/** A role of its own, with a password that has to be escaped in a URL. */
async function roleUrl(databaseUrl: string, password: string): Promise<string> {
  const role = `r_${process.pid}_${Math.random().toString(36).slice(2, 8)}`;
  await query(databaseUrl, `create role ${role} login superuser password '${password}'`);
  const url = new URL(databaseUrl);
  return `postgres://${role}:${percent(password)}@${url.host}${url.pathname}`;
}

/** Every row of every table, as text. */
async function everyRow(url: string): Promise<string> {
  const tables = await query<{ name: string }>(
    url,
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  let text = '';
  for (const { name } of tables) {
    const rows = await query<{ row: string }>(
      url,
      `select row_to_json(t)::text as row from ${name} t`,
    );
    text += rows.map(({ row }) => `${name} ${row}\n`).join('');
  }
  return text;
}

/** Every file of a root but what came from the repository as it is. */
function everyFile(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || path.startsWith(join(root, 'repo.git'))) continue;
    found[path.slice(root.length + 1)] = readFileSync(path).toString('latin1');
  }
  return found;
}

/** Fails when a text has one of the words in it, as it stands or in a form that can be read back. */
function requireNone(where: string, text: string): void {
  const encoded = text.match(/[\w+/-]{8,}={0,2}/g) ?? [];
  const inBase64 = encoded.flatMap((part) =>
    // What was cut off before it may have shifted the groups of four.
    [0, 1, 2, 3].map((from) => Buffer.from(part.slice(from), 'base64').toString('latin1')),
  );
  const unescaped = text.replace(/(?:%[0-9a-f]{2})+/gi, (part) =>
    Buffer.from(part.replaceAll('%', ''), 'hex').toString(),
  );
  for (const word of all) {
    const forms = [word, Buffer.from(word).toString('latin1'), JSON.stringify(word).slice(1, -1)];
    for (const form of forms) {
      const at = text.indexOf(form);
      assert.equal(at, -1, `${where} has ${word}: ${text.slice(Math.max(0, at - 200), at + 60)}`);
      const decoded = inBase64.find((part) => part.includes(form));
      assert.equal(decoded, undefined, `${where} has ${word} in base64: ${decoded}`);
      const from = unescaped.indexOf(form);
      assert.equal(
        from,
        -1,
        `${where} has ${word} escaped: ${unescaped.slice(from - 99, from + 60)}`,
      );
    }
  }
}

test('no secret that a sidecar is given leaves it, whoever repeats it', async (t) => {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  platform.write({ 'manifests/ringlock.yaml': 'migrations:\n  lockTimeout: 1s\n' });
  deploy(platform, `Start, with ${words.gitToken}`);
  const [git, refusing, application] = await Promise.all([
    serveGit(t, dirname(repo)),
    serveGit(t, dirname(repo)),
    serveEcho(t),
  ]);
  // What is not read yet is known to nobody.
  const first = all.filter((word) => word !== words.rotatedToken);
  const proxy = await startConnectProxy(t, { names: {}, user: 'nobody:else' });
  refusing.setFault({
    kind: 'status',
    status: 401,
    headers: { 'content-type': 'text/plain' },
    body: printed('git-server-said', first),
  });
  git.setOptions({ auth: { user: 'oauth2', password: words.gitToken } });
  const databaseUrl = await createDatabase();
  const migrationsUrl = new URL(await createDatabase());
  migrationsUrl.password = percent(words.migrations);
  const secrets = temporaryDirectory(t, 'secrets');
  const file = (name: string, text: string) => {
    writeFileSync(join(secrets, name), text);
    return join(secrets, name);
  };
  const printedFile = file('printed', printed('handler-said', first));
  const root = temporaryDirectory(t, 'root');
  const listen = `127.0.0.1:${await freePort()}`;
  const name = basename(repo);
  const environment = {
    RINGLOCK_GIT_TOKEN_3_FILE: file('token', words.gitToken),
    DATABASE_URL_FILE: file('database', await roleUrl(databaseUrl, words.database)),
    MIGRATIONS_DATABASE_URL_FILE: file('migrations', migrationsUrl.href),
    HTTPS_PROXY: `${proxy.url.replace('://', `://pod:${percent(words.proxy)}@`)}`,
    SOME_API_KEY: words.environment,
  };
  const watching = startWatching(
    t,
    { repo: `${refusing.url.replace('://', `://deploy:${percent(words.gitUrl)}@`)}/${name}`, root },
    [
      ...['--repo', `https://git.ringlock.test/${name}`, '--repo', `${git.url}/${name}`],
      ...['--notify-url', `http://${application.host}/reload?token=${words.notify}`],
      ...['--health-url', `http://probe:${percent(words.health)}@${application.host}/`],
      ...['--interval', '100ms', '--listen', listen],
    ],
    environment,
  );
  let seen = '';
  const until = async (what: string, is: (text: string) => boolean) => {
    const look = async () => {
      seen = `${watching.log()}${JSON.stringify(statusIfAny(root))}${await everyRow(databaseUrl)}`;
      return is(seen);
    };
    await waitUntil(what, look, 60_000).catch((error: Error) => {
      throw new Error(`${error.message}\n${seen}`);
    });
  };
  const isConverged = (commit: string) => () =>
    statusIfAny(root)?.converged_commit === commit && statusIfAny(root)?.state === 'converged';
  await until('it has converged', isConverged(platform.git('rev-parse', 'HEAD')));
  await until(
    'both others were asked',
    (text) => /git-server-said/.test(text) && /\(407\)/.test(text),
  );

  // A handler that prints everything, and succeeds.
  writeHandler(platform, '1.0.1', printedFile, 0);
  const told = deploy(platform, `Orders 1.0.1 by ${words.environment}`);
  await until('its words are kept', (text) => isConverged(told)() && /handler-said/.test(text));
  // One that fails.
  writeHandler(platform, '1.0.2', printedFile, 1);
  deploy(platform, 'Orders 1.0.2');
  await until('it was turned back', (text) => /1\.0\.2 says/.test(text));
  // The token is rotated, the old one still repeated; the application does not want to reload.
  writeFileSync(join(secrets, 'token'), words.rotatedToken);
  git.setOptions({ auth: { user: 'oauth2', password: words.rotatedToken } });
  const basic = `Basic ${base64(`oauth2:${words.rotatedToken}`)}`;
  await until('the new token is used', () =>
    git.requests.some(({ authorization }) => authorization === basic),
  );
  application.echo();
  release(platform, 'Products', '1.0.1');
  deploy(platform, 'Products 1.0.1');
  await until('it did not reload', (text) => /answered 422/.test(text));
  // A migration whose database does not let anybody in.
  platform.write({ 'modules/MobileApp/migrations/0001_x.up.sql': 'select 1;\n' });
  platform.setVersion('MobileApp', '0.3.1');
  deploy(platform, 'MobileApp 0.3.1');
  await until('the database is asked', (text) => /password authentication failed/.test(text));
  const pages = ['/metrics', '/api/health', '/readyz'].map(async (path) => {
    const response = await fetch(`http://${listen}${path}`);
    return `${path} ${JSON.stringify([...response.headers])} ${await response.text()}`;
  });
  const served = (await Promise.all(pages)).join('\n');
  assert.equal(await watching.end('SIGTERM'), 0);

  requireNone('the log', watching.log());
  requireNone('the pages', served);
  requireNone('the ring’s database', await everyRow(databaseUrl));
  for (const [path, text] of Object.entries(everyFile(root))) requireNone(path, text);
  // That they were given is shown by what stands in their place.
  assert.match(await everyRow(databaseUrl), /handler-said\\n\*\*\*/);
});
