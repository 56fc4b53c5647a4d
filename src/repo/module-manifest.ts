import semver from 'semver';
import { badInput } from '../errors.ts';
import { invalidJsonValue, parseJsonFile } from './json-text.ts';
import { moduleValidator } from './validators.ts';

export type LifecycleEvent = 'onEnable' | 'onDisable' | 'onInstall' | 'onUpgrade' | 'onDowngrade';

export interface ModuleManifest {
  readonly name: string;
  readonly alias: string;
  readonly version: string;
  readonly description: string | undefined;
  /** The mirror's URL or short form, as written. */
  readonly repository: string | undefined;
  /** A semver range of platform versions; undefined means any. */
  readonly platformRange: string | undefined;
  /** Alias → semver range. */
  readonly dependencies: ReadonlyMap<string, string>;
  readonly lifecycle: Readonly<Partial<Record<LifecycleEvent, LifecycleHandler>>>;
  /** Directory of SQL migrations inside the module. */
  readonly migrations: string;
  /** Path of the changelog inside the module. */
  readonly changelog: string;
  readonly distribution: Distribution;
}

export interface LifecycleHandler {
  /** A path inside the module, or an http://127.0.0.1 URL. */
  readonly run: string;
  readonly once: 'ring' | 'replica';
  readonly timeout?: string;
  readonly idempotent?: boolean;
}

/** Globs (picomatch) of what a module ships beyond, or short of, the usual. */
export interface Distribution {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/**
 * @param file the path that messages give, e.g. `modules/Orders/module.json`
 * @throws RinglockError `invalid-json`, `invalid-file`
 */
export function parseModuleManifest(text: string, file: string): ModuleManifest {
  const value = parseJsonFile(text, file, moduleValidator) as ModuleFile;
  const range = value.compatibility?.platform;
  if (range !== undefined && semver.validRange(range, { includePrerelease: true }) === null) {
    const path = ['compatibility', 'platform'];
    throw invalidJsonValue(text, file, path, range, 'a semver range such as ^2.0.0 or >=2.0 <3.0');
  }
  for (const [alias, wanted] of Object.entries(value.dependencies ?? {})) {
    if (semver.validRange(wanted, { includePrerelease: true }) === null) {
      throw invalidJsonValue(
        text,
        file,
        ['dependencies', alias],
        wanted,
        'a semver range such as ^1.2.0',
      );
    }
  }
  refuseHandlersOutside(value, text, file);
  const { repository } = value;
  return {
    name: value.name,
    alias: value.alias,
    version: value.version,
    description: value.description,
    repository: typeof repository === 'string' ? repository : repository?.url,
    platformRange: range,
    dependencies: new Map(Object.entries(value.dependencies ?? {})),
    lifecycle: Object.fromEntries(
      Object.entries(value.lifecycle ?? {}).map(([event, handler]) => [
        event,
        typeof handler === 'string'
          ? { run: handler, once: 'ring' as const }
          : { ...handler, once: handler.once ?? 'ring' },
      ]),
    ),
    migrations: value.migrations ?? 'migrations',
    changelog: value.changelog ?? 'CHANGELOG.md',
    distribution: {
      include: value.distribution?.include ?? [],
      exclude: value.distribution?.exclude ?? [],
    },
  };
}

/** What a handler names is looked at again when it runs, on the disk that it runs from. */
function refuseHandlersOutside({ lifecycle = {} }: ModuleFile, text: string, file: string): void {
  for (const [event, handler] of Object.entries(lifecycle)) {
    const run = typeof handler === 'string' ? handler : handler.run;
    const isUrl = /^[a-z][a-z0-9+.-]*:/i.test(run);
    const isInside = isUrl
      ? /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])([:/?]|$)/i.test(run)
      : !run.startsWith('/') && !run.split('/').includes('..') && !/[\\\0]/.test(run);
    if (isInside) continue;
    const expected = 'a path inside the module, or an http URL on 127.0.0.1, localhost or [::1]';
    throw invalidJsonValue(text, file, ['lifecycle', event], run, expected);
  }
}

/** module.json as it is written; fields that ringlock does not know are kept. */
export interface ModuleFile {
  readonly [field: string]: unknown;
  readonly name: string;
  readonly alias: string;
  readonly version: string;
  readonly description?: string;
  readonly repository?: string | { readonly url: string };
  readonly compatibility?: { readonly platform?: string };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly lifecycle?: Readonly<
    Record<
      string,
      string | { run: string; once?: 'ring' | 'replica'; timeout?: string; idempotent?: boolean }
    >
  >;
  readonly migrations?: string;
  readonly changelog?: string;
  readonly distribution?: {
    readonly include?: readonly string[];
    readonly exclude?: readonly string[];
  };
}

/**
 * The text of a module.json with another version; everything else, formatting included, stays.
 *
 * @throws RinglockError `invalid-file` when the text has no version that can be found
 */
export function withVersion(text: string, file: string, version: string): string {
  const current = (JSON.parse(text) as { version: string }).version;
  // The top-level property is found by trying each candidate: a nested "version" changes another value.
  const candidates = text.matchAll(/("version"\s*:\s*)"((?:[^"\\]|\\.)*)"/g);
  for (const match of candidates) {
    const start = match.index + (match[1]?.length ?? 0);
    const edited = `${text.slice(0, start)}${JSON.stringify(version)}${text.slice(match.index + match[0].length)}`;
    if ((JSON.parse(edited) as { version: string }).version === version && match[2] === current) {
      return edited;
    }
  }
  throw badInput('invalid-file', `${file} has no "version" that can be edited`);
}

/** As withVersion(), for the range of one dependency. */
export function withDependencyRange(text: string, alias: string, range: string): string {
  const value = JSON.parse(text) as { dependencies?: Record<string, string> };
  const current = value.dependencies?.[alias];
  if (current === undefined) return text;
  const pattern = new RegExp(`("${alias}"\\s*:\\s*)${escapeRegExp(JSON.stringify(current))}`, 'g');
  for (const match of text.matchAll(pattern)) {
    const start = match.index + (match[1]?.length ?? 0);
    const edited = `${text.slice(0, start)}${JSON.stringify(range)}${text.slice(match.index + match[0].length)}`;
    const reread = JSON.parse(edited) as { dependencies?: Record<string, string> };
    if (reread.dependencies?.[alias] === range) return edited;
  }
  return text;
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/**
 * The lock's `source` for a repository: `gitlab:group/name`, `github:owner/name`, a short form as
 * written, or the URL without user info; null when the module names none.
 */
export function sourceOfRepository(repository: string | undefined): string | null {
  if (repository === undefined) return null;
  const scp = /^[^/@\s]+@([^:/\s]+):(.+)$/.exec(repository);
  const text = scp === null ? repository : `ssh://${scp[1]}/${scp[2]}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return repository;
  }
  if (url.host === '') return repository;
  const path = url.pathname.replace(/^\/+/, '').replace(/(\.git)?\/*$/, '');
  if (/(^|\.)github\.com$/.test(url.hostname)) return `github:${path}`;
  if (/(^|\.)gitlab\./.test(url.hostname)) return `gitlab:${path}`;
  url.username = '';
  url.password = '';
  return url.href;
}
