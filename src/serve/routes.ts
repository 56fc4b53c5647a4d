import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { etag } from 'hono/etag';
import { healthReport } from './health-report.ts';
import { ModuleHistory } from './module-history.ts';
import type { Observed } from './observed.ts';
import { whyNotReady } from './readiness.ts';
import { statusReport } from './status-report.ts';
import { type WebhookOptions, webhookReceiver } from './webhook.ts';

type Bindings = { Bindings: HttpBindings };

/** What each path answers. */
export function routes(observed: Observed, webhook: WebhookOptions): Hono<Bindings> {
  const app = new Hono<Bindings>();
  const history = new ModuleHistory(observed.root);
  const receive = webhookReceiver(webhook);

  app.use(async (context, next) => {
    await next();
    context.header('x-content-type-options', 'nosniff');
    context.header('cache-control', 'no-cache');
  });
  app.use('/api/*', etag());

  app.get('/healthz', (context) => {
    const hung = observed.clock.hung(observed.tally.running !== undefined);
    return hung === undefined ? context.text('ok\n') : context.text(`${hung}\n`, 503);
  });
  app.get('/readyz', async (context) => {
    const reason = await whyNotReady(observed);
    return reason === undefined ? context.text('ok\n') : context.text(`${reason}\n`, 503);
  });
  app.get('/api/health', (context) => context.json(healthReport(observed.status())));
  app.get('/api/status', async (context) => context.json(await statusReport(observed, history)));
  app.get('/metrics', async (context) => {
    // Loaded when it is first asked for.
    const { metricsText } = await import('./metrics.ts');
    const type = 'text/plain; version=0.0.4; charset=utf-8';
    return context.text(await metricsText(observed), 200, { 'content-type': type });
  });
  app.post('/webhook', async (context) => {
    const { status, answer, message, headers } = await receive(context.env.incoming);
    if (answer === undefined) return context.notFound();
    return context.json({ answer, message }, status, { ...headers });
  });

  for (const path of ['/healthz', '/readyz', '/api/health', '/api/status', '/metrics']) {
    app.all(path, (context) => wrongMethod(context, 'GET, HEAD'));
  }
  app.all('/webhook', async (context) =>
    (await webhook.secrets().catch(() => [])).length === 0
      ? context.notFound()
      : wrongMethod(context, 'POST'),
  );
  app.notFound((context) => context.json({ answer: 'not-found', message: 'not found' }, 404));
  app.onError((error, context) => {
    webhook.log.warn(`a request failed: ${error.message}`, { path: context.req.path });
    return context.json({ answer: 'failed', message: 'it failed; the log says why' }, 500);
  });
  return app;
}

function wrongMethod(context: Context, allow: string): Response {
  const body = { answer: 'wrong-method', message: `expected ${allow}` };
  return context.json(body, 405, { allow });
}
