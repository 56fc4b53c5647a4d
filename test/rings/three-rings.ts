import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { before, type TestContext } from 'node:test';
import { Cli } from 'clipanion';
import { LockCommand } from '../../src/commands/lock.ts';
import { RingAssignCommand } from '../../src/commands/ring-assign.ts';
import { RingListCommand } from '../../src/commands/ring-list.ts';
import { RingPromoteCommand } from '../../src/commands/ring-promote.ts';
import { RingShowCommand } from '../../src/commands/ring-show.ts';
import { type LoadedModules, loadModules } from '../../src/index.ts';
import { passInProcess } from '../support/in-process.ts';
import {
  asPlatform,
  createPlatform,
  type ModuleFixture,
  moduleFiles,
  type Platform,
} from '../support/platform.ts';
import { gitEnvironment, openRepository, type Repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

export const ringNames = ['stable', 'edge', 'canary'] as const;
export type RingName = (typeof ringNames)[number];

export const experimentalFeature: ModuleFixture = {
  directory: 'ExperimentalFeature',
  alias: 'experimental-feature',
  version: '0.1.0',
  dependencies: { orders: '^1.0.0' },
};

/** A platform with three rings, and a root of each. */
export interface ThreeRings {
  readonly platform: Platform;
  /** One pass of a ring's reconciler; the exit code that `reconcile --once` would have. */
  converge(ring: RingName): Promise<number>;
  /** What the ring's application loads. */
  load(ring: RingName): Promise<LoadedModules>;
  /** Alias → version of what the rings' applications load, after a pass of each. */
  served<R extends RingName>(...rings: readonly R[]): Promise<Record<R, Record<string, string>>>;
  root(ring: RingName): string;
}

let template: string | undefined;

/** Made once for a group of tests, each of which goes on from what the one before has left. */
export function threeRings(): () => ThreeRings {
  Object.assign(process.env, gitEnvironment);
  let rings: ThreeRings | undefined;
  before((t) => {
    rings = create(t as TestContext);
  });
  return () => {
    assert.ok(rings);
    return rings;
  };
}

function create(t: TestContext): ThreeRings {
  template ??= createPlatform(t).path;
  const path = join(temporaryDirectory(t, 'platform'), 'repo');
  cpSync(template, path, { recursive: true });
  const platform = asPlatform(openRepository(path), ringNames);
  const roots = Object.fromEntries(
    ringNames.map((ring) => [ring, temporaryDirectory(t, ring)]),
  ) as Record<RingName, string>;
  const converge = async (ring: RingName) =>
    (await passInProcess({ repo: platform.path, root: roots[ring], ring })).code;
  const load = (ring: RingName) => loadModules(roots[ring]);
  const served: ThreeRings['served'] = async (...rings) => {
    const all = new Map<string, Record<string, string>>();
    for (const ring of rings) {
      assert.equal(await converge(ring), 0, ring);
      all.set(ring, versionsOf(await load(ring)));
    }
    return Object.fromEntries(all) as Awaited<ReturnType<ThreeRings['served']>>;
  };
  return { platform, converge, load, served, root: (ring) => roots[ring] };
}

export function versionsOf({ modules }: LoadedModules): Record<string, string> {
  return Object.fromEntries(modules.map(({ alias, version }) => [alias, version]));
}

/** Runs a command of ringlock in this process, as a person would in the repository. */
export async function ringlock(
  { path }: Pick<Repository, 'path'>,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly output: string }> {
  const cli = new Cli({ binaryName: 'ringlock' });
  for (const command of [
    LockCommand,
    RingAssignCommand,
    RingListCommand,
    RingPromoteCommand,
    RingShowCommand,
  ]) {
    cli.register(command);
  }
  const stream = new PassThrough();
  const output = text(stream);
  const code = await cli.run([...args, '-C', path], { stdout: stream, stderr: stream });
  stream.end();
  return { code, output: await output };
}

/** The same, which has to be done. */
export async function done(repository: Pick<Repository, 'path'>, ...args: readonly string[]) {
  const { code, output } = await ringlock(repository, ...args);
  assert.equal(code, 0, output);
  return output;
}

/** Writes a new version of a module; not committed. */
export function bump(platform: Platform, directory: string, version: string): void {
  platform.change(directory, version);
  platform.setVersion(directory, version);
}

/** Writes a module that was not there. */
export function add(repository: Repository, module: ModuleFixture): void {
  const files = Object.entries(moduleFiles(module));
  repository.write(
    Object.fromEntries(
      files.map(([name, content]) => [`modules/${module.directory}/${name}`, content]),
    ),
  );
}

export interface LockFile {
  readonly ring: string;
  readonly modules: Readonly<Record<string, { readonly version: string }>>;
}

export function lockOf(repository: Repository, ring: RingName): LockFile {
  return JSON.parse(repository.read(`manifests/${ring}.lock.json`));
}

/** Bytes of every ring's lock. */
export function locksOf(repository: Repository): Record<RingName, string> {
  return Object.fromEntries(
    ringNames.map((ring) => [ring, repository.read(`manifests/${ring}.lock.json`)]),
  ) as Record<RingName, string>;
}
