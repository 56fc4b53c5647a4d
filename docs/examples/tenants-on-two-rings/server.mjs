// Serves the tenants of one ring, each request with the modules of one generation.
// MODULES_ROOT: the sidecar's --root. TENANTS: a JSON file, hostname → tenant. PORT; RELOAD_PORT:
// where the sidecar tells of a switch (--notify-url), on 127.0.0.1 only.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { watchModules } from 'ringlock';

const { MODULES_ROOT, TENANTS, PORT = '8080', RELOAD_PORT = '8081' } = process.env;
const tenants = JSON.parse(readFileSync(TENANTS, 'utf8'));

/** What new requests are served with; a request that has begun keeps what it began with. */
let live;

const watch = await watchModules(MODULES_ROOT, async (view) => {
  const routes = new Map();
  for (const { alias, path, manifest } of view.modules) {
    // `routes` is this application's own field of module.json. A real path is one version's, so
    // Node loads the new version beside the one that is still at work.
    if (manifest.routes === undefined) continue;
    routes.set(alias, await import(pathToFileURL(join(path, manifest.routes)).href));
  }
  live = { view, routes };
});

function health({ ring, lockPath, generation, commit, modules, refused }) {
  const versions = Object.fromEntries(modules.map(({ alias, version }) => [alias, version]));
  return { ring: { name: ring, lock_path: lockPath }, generation, commit, versions, refused };
}

async function answer({ url, headers }, { view, routes }) {
  const { pathname, hostname, searchParams } = new URL(url, `http://${headers.host}`);
  if (pathname === '/api/health') return [200, health(view)];
  const tenant = tenants[hostname];
  if (tenant === undefined) return [421, { error: `${hostname} is no tenant of ${view.ring}` }];
  const route = routes.get(pathname.split('/')[1]);
  if (route === undefined) return [404, { error: `${pathname} is no module's` }];
  const context = { tenant, searchParams, module: (alias) => routes.get(alias) };
  return [200, { tenant, generation: view.generation, ...(await route.get(context)) }];
}

const serve = (handle) => async (request, response) => {
  const [status, body] = await handle(request).catch((error) => [500, { error: error.message }]);
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

const servers = [
  createServer(serve((request) => answer(request, live))).listen(Number(PORT)),
  createServer(serve(async () => [200, health(await watch.look())])).listen(
    Number(RELOAD_PORT),
    '127.0.0.1',
  ),
];
process.on('SIGTERM', () => servers.map((server) => server.close()));
