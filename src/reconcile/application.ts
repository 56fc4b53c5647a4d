import { join } from 'node:path';
import { type HandlerCall, runHandler } from '../lifecycle/handler.ts';
import { type HealthCheck, probeHealth, waitForHealth } from '../lifecycle/health.ts';
import { type NotifyPayload, notifyApplication } from '../lifecycle/notify.ts';
import type { Step } from '../plan/plan.ts';
import type { LifecycleEvent } from '../repo/module-manifest.ts';
import type { Settings } from '../repo/settings.ts';
import type { Root } from '../store/root.ts';
import { type ModuleCode, readModuleCode } from './module-code.ts';
import type { RingWork, Verdict } from './ring/ring-operation.ts';

/** What the pod's own flags say of the application beside the sidecar; they win over the settings. */
export interface ApplicationOptions {
  readonly healthUrl: string | undefined;
  readonly notifyUrl: string | undefined;
  /** Only ever from the pod itself, never from the repository (invariant 7). */
  readonly notifyCommand: readonly string[] | undefined;
  readonly environment: NodeJS.ProcessEnv;
}

export type Baseline = 'healthy' | 'unhealthy' | 'unknown';

/** The application in the same pod: told of a switch, asked how it is. */
export class Application {
  readonly #options: ApplicationOptions;
  readonly #settings: Settings;

  constructor(options: ApplicationOptions, settings: Settings) {
    this.#options = options;
    this.#settings = settings;
  }

  /** Whether anything follows a switch. */
  get isWatched(): boolean {
    return this.#health !== undefined || this.isNotified;
  }

  /** Whether it is told of a switch. */
  get isNotified(): boolean {
    const { notify } = this.#settings;
    const { notifyUrl, notifyCommand } = this.#options;
    const ways = [notify.url, notify.pidFile, notifyUrl, notifyCommand];
    return ways.some((given) => given !== undefined);
  }

  /** How it is before a switch: only what was healthy can be made unhealthy. */
  async baseline(signal: AbortSignal): Promise<Baseline> {
    const check = this.#health;
    if (check === undefined) return 'unknown';
    return (await probeHealth(check, signal)).healthy ? 'healthy' : 'unhealthy';
  }

  /** @throws RinglockError `notify-failed` */
  async notify(payload: NotifyPayload, signal: AbortSignal): Promise<void> {
    const { url, pidFile, signal: name, timeoutMs } = this.#settings.notify;
    const httpUrl = this.#options.notifyUrl ?? url;
    const command = this.#options.notifyCommand;
    const targets = {
      ...(httpUrl !== undefined && { http: { url: httpUrl, timeoutMs } }),
      ...(pidFile !== undefined && { signal: { pidFile, signal: name } }),
      ...(command !== undefined && { command }),
      timeoutMs,
    };
    await notifyApplication(targets, payload, signal, this.#options.environment);
  }

  /** Waits for its verdict; only healthy → unhealthy is one against the new versions. */
  async gate(baseline: Baseline, signal: AbortSignal): Promise<Verdict> {
    const check = this.#health;
    if (check === undefined) return { state: 'healthy', reason: 'no health is asked' };
    const found = await waitForHealth(check, signal);
    if (found.healthy) return { state: 'healthy', reason: found.reason };
    if (baseline === 'healthy') return { state: 'unhealthy', reason: found.reason };
    return { state: 'abstained', reason: `it was not healthy before either: ${found.reason}` };
  }

  get #health(): HealthCheck | undefined {
    const { health } = this.#settings;
    const url = this.#options.healthUrl ?? health?.url;
    if (url === undefined) return undefined;
    return { ...defaultHealth, ...health, url };
  }
}

const defaultHealth = {
  status: [],
  stableForMs: 2_000,
  timeoutMs: 60_000,
  intervalMs: 500,
  probeTimeoutMs: 5_000,
};

/** What a handler's run needs of the operation. */
export interface HandlerFacts {
  readonly root: Root;
  readonly ring: string;
  readonly operationId: string;
  readonly settings: Settings;
  readonly environment: NodeJS.ProcessEnv;
}

/** The ring's handlers for what an operation changes, in the order of its steps. */
export async function ringHandlers(
  facts: HandlerFacts,
  steps: readonly Step[],
): Promise<RingWork[]> {
  const works: RingWork[] = [];
  for (const step of steps) {
    const found = await findHandler(facts.root, step);
    if (found === undefined || found.handler.once !== 'ring') continue;
    const { call, handler, event } = found;
    works.push({
      key: `handler ${step.alias} ${event} ${versionsOf(step)}`,
      idempotent: handler.idempotent ?? false,
      outlives: true,
      run: async (signal) => (await run(facts, call, signal)).output,
    });
  }
  return works;
}

/** What a step goes from and to; the same handler for the same step has run when it has run. */
function versionsOf({ from, to }: Step): string {
  const names = [from, to].map((pin) =>
    pin ? `${pin.version}-${pin.sha256.slice(7, 19)}` : 'nothing',
  );
  return names.join(' → ');
}

/**
 * Runs the handlers that every replica runs for itself, before anything is live.
 *
 * @throws RinglockError `handler-failed`, `handler-timeout`, …
 */
export async function runReplicaHandlers(
  facts: HandlerFacts,
  steps: readonly Step[],
  signal: AbortSignal,
): Promise<void> {
  for (const step of steps) {
    const found = await findHandler(facts.root, step);
    if (found === undefined || found.handler.once !== 'replica') continue;
    const { alias, version } = found.code;
    const writableDirectory = join(facts.root.path, 'replica', `${alias}-${version}`);
    await run(facts, { ...found.call, writableDirectory }, signal);
  }
}

const eventOf: Readonly<Partial<Record<Step['action'], LifecycleEvent>>> = {
  install: 'onInstall',
  upgrade: 'onUpgrade',
  downgrade: 'onDowngrade',
};

type PartialCall = Omit<HandlerCall, 'ring' | 'operationId'>;

async function findHandler(root: Root, step: Step) {
  const event = eventOf[step.action];
  // The code is always the newer version's: it alone knows both shapes.
  const newer = step.action === 'downgrade' ? step.from : step.to;
  if (event === undefined || newer === null || step.to === null) return undefined;
  const code = await readModuleCode(root, step.alias, newer);
  const handler = code?.manifest.lifecycle[event];
  if (code === undefined || handler === undefined) return undefined;
  const { alias } = step;
  const sourcePath = (await root.versionPath({ alias, ...step.to })) ?? null;
  const call: PartialCall = {
    event,
    alias,
    fromVersion: step.from?.version ?? null,
    toVersion: step.to.version,
    codePath: code.path,
    sourcePath,
    manifest: code.json,
    handler,
  };
  return { event, code, handler, call };
}

/** Runs a tenant's handler of a module that is installed; undefined when it has none. */
export async function runTenantHandler(
  facts: HandlerFacts,
  code: ModuleCode,
  event: 'onEnable' | 'onDisable',
  tenant: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const handler = code.manifest.lifecycle[event];
  if (handler === undefined) return undefined;
  const { alias, version, path } = code;
  const call = {
    event,
    alias,
    tenant,
    fromVersion: version,
    toVersion: version,
    codePath: path,
    sourcePath: path,
    manifest: code.json,
    handler,
  };
  return (await run(facts, call, signal)).output;
}

function run(
  { ring, operationId, settings, environment }: HandlerFacts,
  call: PartialCall,
  signal: AbortSignal,
): Promise<{ output: string; durationMs: number }> {
  return runHandler({ ...call, ring, operationId }, settings.handlers, signal, environment);
}
