import { type CiSettings, type CiYaml, ciSettings } from './ci-settings.ts';
import { parseDuration } from './duration.ts';
import { settingsFile } from './names.ts';
import {
  type RegistrySettings,
  type RegistryYaml,
  type ReleaseSettings,
  type ReleaseYaml,
  registrySettings,
  releaseSettings,
} from './registry-settings.ts';
import { type RequestSettings, type RequestYaml, requestSettings } from './request-settings.ts';
import { type RouteSettings, type RoutesYaml, routeSettings } from './route-settings.ts';
import { parseYamlFile } from './source-text.ts';
import { settingsValidator } from './validators.ts';

export interface Settings {
  /** Folders whose direct children with a module.json are modules. */
  readonly roots: readonly string[];
  /** The most files that one module may have. */
  readonly maxFiles: number;
  readonly policy: Policy;
  readonly notify: NotifySettings;
  /** Undefined: nothing is asked after a switch. */
  readonly health: HealthSettings | undefined;
  /** Undefined: migrations run only in pods that are given a database for them. */
  readonly migrations: MigrationSettings | undefined;
  readonly handlers: HandlerSettings;
  /** Where packages are kept, the preferred one first. */
  readonly registries: readonly RegistrySettings[];
  /** Where release entries are made. */
  readonly releases: readonly ReleaseSettings[];
  /** Where promotions are asked for; undefined: at the forge whose pipeline it is. */
  readonly mergeRequests: RequestSettings | undefined;
  /** By alias: where a module is mirrored whose module.json does not say so, or says something else. */
  readonly mirrors: ReadonlyMap<string, string>;
  /** How requests for hostnames reach the rings. */
  readonly routes: RouteSettings;
  /** Which jobs a change fires. */
  readonly ci: CiSettings;
}

export interface Policy {
  /** What an incompatible module does to its commit: refuses it, or is left out with its dependents. */
  readonly incompatible: 'refuse' | 'skip';
  /** What a tracking ring does with versions that failed: holds them alone, or the whole lock. */
  readonly onFailure: 'hold' | 'block';
  /** The share of a ring's modules that one lock may remove, 0 to 1. */
  readonly maxRemovals: number;
  readonly rollout: Rollout;
  /** When a ring's operation turns back. */
  readonly revertOn: 'quorum' | 'any' | 'never';
}

export interface Rollout {
  /** Replicas of the first wave. */
  readonly first: number;
  /** Replicas that may be between switch and healthy at once: a count, or a share such as `25%`. */
  readonly maxUnavailable: number | string;
}

/** How the application learns of a switch; all that are given. Times are milliseconds. */
export interface NotifySettings {
  readonly url: string | undefined;
  readonly pidFile: string | undefined;
  readonly signal: NodeJS.Signals;
  readonly timeoutMs: number;
}

/** What says that the application is well; times are milliseconds. */
export interface HealthSettings {
  readonly url: string;
  /** Empty: any 2xx. */
  readonly status: readonly number[];
  readonly stableForMs: number;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly probeTimeoutMs: number;
}

export interface MigrationSettings {
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
}

export interface HandlerSettings {
  readonly timeoutMs: number;
  readonly outputBytes: number;
}

export const defaultMigrations: MigrationSettings = {
  statementTimeoutMs: 300_000,
  lockTimeoutMs: 10_000,
};

export const defaultSettings: Settings = {
  roots: ['modules'],
  maxFiles: 100_000,
  policy: {
    incompatible: 'refuse',
    onFailure: 'hold',
    maxRemovals: 0.5,
    rollout: { first: 1, maxUnavailable: '25%' },
    revertOn: 'quorum',
  },
  notify: { url: undefined, pidFile: undefined, signal: 'SIGHUP', timeoutMs: 10_000 },
  health: undefined,
  migrations: undefined,
  handlers: { timeoutMs: 60_000, outputBytes: 64 * 1024 },
  registries: [],
  releases: [],
  mergeRequests: undefined,
  mirrors: new Map(),
  routes: routeSettings(),
  ci: ciSettings(undefined, ['modules'], ''),
};

/** @throws RinglockError `invalid-yaml`, `invalid-file` */
export function parseSettings(text: string, file = settingsFile): Settings {
  const yaml = parseYamlFile(text, file, settingsValidator).value as SettingsYaml;
  const { policy } = defaultSettings;
  return {
    roots: yaml.roots ?? defaultSettings.roots,
    maxFiles: yaml.limits?.files ?? defaultSettings.maxFiles,
    policy: { ...policy, ...yaml.policy, rollout: { ...policy.rollout, ...yaml.policy?.rollout } },
    notify: notifySettings(yaml.notify),
    health: yaml.health && healthSettings(yaml.health),
    migrations: yaml.migrations && migrationSettings(yaml.migrations),
    handlers: {
      timeoutMs: duration(yaml.handlers?.timeout, defaultSettings.handlers.timeoutMs),
      outputBytes: yaml.handlers?.outputBytes ?? defaultSettings.handlers.outputBytes,
    },
    registries: (yaml.registries ?? []).map(registrySettings),
    releases: (yaml.releases ?? []).map(releaseSettings),
    mergeRequests: yaml.mergeRequests && requestSettings(yaml.mergeRequests),
    mirrors: new Map(Object.entries(yaml.mirrors ?? {})),
    routes: routeSettings(yaml.routes),
    ci: ciSettings(yaml.ci, yaml.roots ?? defaultSettings.roots, text),
  };
}

/** How many of a ring's replicas may be unavailable at once: at least one. */
export function maxUnavailable({ maxUnavailable: limit }: Rollout, replicas: number): number {
  if (typeof limit === 'number') return Math.max(1, limit);
  return Math.max(1, Math.floor((replicas * Number.parseInt(limit, 10)) / 100));
}

interface SettingsYaml {
  readonly roots?: readonly string[];
  readonly limits?: { readonly files?: number };
  readonly policy?: Partial<Omit<Policy, 'rollout'>> & { readonly rollout?: Partial<Rollout> };
  readonly notify?: {
    readonly url?: string;
    readonly pidFile?: string;
    readonly signal?: NodeJS.Signals;
    readonly timeout?: string;
  };
  readonly health?: HealthYaml;
  readonly migrations?: { readonly statementTimeout?: string; readonly lockTimeout?: string };
  readonly handlers?: { readonly timeout?: string; readonly outputBytes?: number };
  readonly registries?: readonly RegistryYaml[];
  readonly releases?: readonly ReleaseYaml[];
  readonly mergeRequests?: RequestYaml;
  readonly mirrors?: Readonly<Record<string, string>>;
  readonly routes?: RoutesYaml;
  readonly ci?: CiYaml;
}

interface HealthYaml {
  readonly url: string;
  readonly status?: readonly number[];
  readonly stableFor?: string;
  readonly timeout?: string;
  readonly interval?: string;
  readonly probeTimeout?: string;
}

function notifySettings(yaml: SettingsYaml['notify']): NotifySettings {
  const { notify } = defaultSettings;
  return {
    url: yaml?.url,
    pidFile: yaml?.pidFile,
    signal: yaml?.signal ?? notify.signal,
    timeoutMs: duration(yaml?.timeout, notify.timeoutMs),
  };
}

function healthSettings(yaml: HealthYaml): HealthSettings {
  return {
    url: yaml.url,
    status: yaml.status ?? [],
    stableForMs: duration(yaml.stableFor, 2_000),
    timeoutMs: duration(yaml.timeout, 60_000),
    intervalMs: duration(yaml.interval, 500),
    probeTimeoutMs: duration(yaml.probeTimeout, 5_000),
  };
}

function migrationSettings(yaml: NonNullable<SettingsYaml['migrations']>): MigrationSettings {
  return {
    statementTimeoutMs: duration(yaml.statementTimeout, defaultMigrations.statementTimeoutMs),
    lockTimeoutMs: duration(yaml.lockTimeout, defaultMigrations.lockTimeoutMs),
  };
}

function duration(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : parseDuration(text, settingsFile);
}
