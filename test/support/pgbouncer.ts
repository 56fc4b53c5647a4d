import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './postgres.ts';
import { waitUntil } from './wait-until.ts';

const program = 'pgbouncer';

/** Why no PgBouncer can be started here; undefined when one can. */
export function pgbouncerMissing(): string | undefined {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return undefined;
  return spawnSync(program, ['--version']).error === undefined
    ? undefined
    : 'pgbouncer is not installed';
}

export interface PgBouncer {
  /** The database's URL through the pooler. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts a real PgBouncer in front of a database of `createDatabase()`. */
export async function startPgBouncer(
  databaseUrl: string,
  poolMode: 'session' | 'transaction' | 'statement',
  settings: Readonly<Record<string, string | number>> = {},
): Promise<PgBouncer> {
  const directory = mkdtempSync(join(tmpdir(), 'ringlock-bouncer-'));
  // Its own user reads it; PgBouncer refuses to run as root.
  chmodSync(directory, 0o755);
  const port = await freePort();
  const server = new URL(databaseUrl);
  const database = server.pathname.slice(1);
  const options = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: poolMode,
    max_client_conn: 20,
    ...settings,
  };
  const lines = Object.entries(options).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]
${database} = host=${server.hostname} port=${server.port} dbname=${database} user=${server.username} password=${server.password}
[pgbouncer]
${lines.join('\n')}
`,
    { mode: 0o644 },
  );
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const child = spawn(program, [join(directory, 'pgbouncer.ini')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
    ...user,
  });
  const stop = async () => {
    await end(child);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await listening(child, port);
  } catch (error) {
    await stop();
    throw error;
  }
  const url = new URL(databaseUrl);
  url.port = String(port);
  return { url: url.href, stop };
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  let said = '';
  let failed: Error | undefined;
  child.stderr?.setEncoding('utf8').on('data', (chunk) => (said += chunk));
  child.on('error', (error) => (failed = error));
  child.on('exit', (code) => (failed ??= new Error(`pgbouncer ended with ${code}: ${said}`)));
  await waitUntil('pgbouncer listens', async () => {
    if (failed !== undefined) throw failed;
    const socket = connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return isOpen;
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  // At once: SIGINT would wait for the clients.
  child.kill('SIGTERM');
  await ended;
}
