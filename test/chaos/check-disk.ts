import { lstat, readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Observation, WantedLock } from './checker.ts';
import {
  digestByCoreutils,
  findOthers,
  git,
  type LockedModule,
  type LockFile,
  type Served,
  sha256sum,
} from './read-root.ts';

/** Invariant 1: what once was there always leads to a generation. */
export async function currentStays({
  served,
  memory,
  damage,
  moment,
}: Observation): Promise<string[]> {
  if (typeof served === 'string') return [served];
  const mayBeAbsent = moment === 'killed' && (memory.seen.length === 0 || damage?.current === true);
  return served === undefined && !mayBeAbsent ? ['current is gone'] : [];
}

/** Invariant 1: every module of the generation has the digest of the lock beside it. */
export async function completeGeneration(observed: Observation): Promise<string[]> {
  const { served } = observed;
  if (typeof served !== 'object') return [];
  const found = await Promise.all(
    Object.entries(served.lock.modules).map(async ([alias, { directory, sha256, version }]) => {
      if (isDamagedOnPurpose(observed, served, alias)) return [];
      const path = join(served.path, directory);
      const digest = await digestByCoreutils(path).catch(() => 'nothing');
      if (digest === sha256) return [];
      return [`${directory} has ${digest}, the lock pins ${alias} ${version} as ${sha256}`];
    }),
  );
  return found.flat();
}

/** Only until the repair: nothing excuses it afterwards. */
function isDamagedOnPurpose(observed: Observation, served: Served, alias: string): boolean {
  return isDamaged(observed, served) && observed.damage?.aliases.includes(alias) === true;
}

function isDamaged({ damage, moment }: Observation, { number }: Served): boolean {
  return moment === 'killed' && damage?.generation === number;
}

/** Invariant 2: nothing is visible but the modules of the lock, and they hold plain files only. */
export async function nothingForeign(observed: Observation): Promise<string[]> {
  const { served } = observed;
  if (typeof served !== 'object') return [];
  const modules = Object.entries(served.lock.modules);
  const expected = new Set(['.ringlock', ...modules.map(([, { directory }]) => directory)]);
  const mayBeForeign = isDamaged(observed, served);
  const words = (await readdir(served.path))
    .filter((name) => !expected.has(name) && !mayBeForeign)
    .map((name) => `current/${name} belongs to no module of the lock`);
  for (const [alias, { directory }] of modules) {
    if (isDamagedOnPurpose(observed, served, alias)) continue;
    const others = await findOthers(join(served.path, directory)).catch(() => '');
    if (others !== '') words.push(`current/${directory} has ${others}`);
  }
  return words;
}

/** Invariant 1: the lock is one commit's, the old one's or the new one's, and says which. */
export async function committedLock(observed: Observation): Promise<string[]> {
  const { served, allowed, root } = observed;
  if (typeof served !== 'object') return [];
  const { commit, generation, lock_digest } = served.facts;
  const words: string[] = [];
  if (generation !== served.number) words.push(`generation.json says ${generation}`);
  const digest = await sha256sum(join(served.path, '.ringlock/lock.json'));
  if (digest !== lock_digest) words.push(`lock.json has ${digest}, generation.json ${lock_digest}`);
  const ofCommit = allowed.filter((wanted) => wanted.commit === commit);
  if (ofCommit.length === 0) {
    const commits = allowed.map((wanted) => wanted.commit);
    return [...words, `${relative(root, served.path)} is of ${commit}, expected one of ${commits}`];
  }
  const wanted = await Promise.all(ofCommit.map((lock) => wantedPins(observed, lock)));
  if (!wanted.some((pins) => isDeepStrictEqual(pins, pinsOf(served.lock)))) {
    words.push(`the lock served is not that of ${commit}`);
  }
  return words;
}

function pinsOf({ ring, modules }: LockFile): Pick<LockFile, 'ring' | 'modules'> {
  return { ring, modules };
}

/** By git alone, the pins of a lock that may be served. */
async function wantedPins(
  { repository, ring }: Observation,
  { commit, held = {} }: WantedLock,
): Promise<Pick<LockFile, 'ring' | 'modules'>> {
  const lockAt = async (oid: string): Promise<LockFile> =>
    JSON.parse(await git(repository, 'show', `${oid}:manifests/${ring}.lock.json`));
  const { ring: name, modules } = await lockAt(commit);
  const pins: Record<string, LockedModule> = { ...modules };
  for (const [alias, other] of Object.entries(held)) {
    const entry = (await lockAt(other)).modules[alias];
    if (entry === undefined) throw new Error(`${other} has no ${alias}`);
    pins[alias] = entry;
  }
  return { ring: name, modules: pins };
}

/** Invariant 4: a restart ends where it should, and says so. */
export async function statusConverged(observed: Observation): Promise<string[]> {
  const { root, served, expected, databaseUrl } = observed;
  const status = JSON.parse(await readFile(join(root, 'status.json'), 'utf8'));
  const said = {
    state: expected.state,
    commit: expected.commit,
    converged_commit: expected.commit,
    generation: typeof served === 'object' ? served.number : null,
    operation: null,
    ...(databaseUrl !== undefined && { outbox_pending: 0 }),
  };
  const words = Object.entries(said).flatMap(([name, value]) =>
    isDeepStrictEqual(status[name], value)
      ? []
      : [`${name} is ${JSON.stringify(status[name])}, expected ${JSON.stringify(value)}`],
  );
  const code: string | null = status.last_error?.code ?? null;
  if (code === null ? expected.error !== null : !code.startsWith(expected.error ?? '(none)')) {
    words.push(`last_error is ${JSON.stringify(status.last_error)}, expected ${expected.error}`);
  }
  const pins = typeof served === 'object' ? pinsOf(served.lock) : undefined;
  const wanted = await wantedPins(observed, expected.lock);
  if (!isDeepStrictEqual(wanted, pins)) words.push('another lock is served');
  return words;
}

/** Every generation that is still there could be gone back to: each module leads somewhere. */
export async function keptGenerations({ root, memory }: Observation): Promise<string[]> {
  const words: string[] = [];
  for (const name of await readdir(join(root, 'generations'))) {
    const path = join(root, 'generations', name);
    const lock = JSON.parse(await readFile(join(path, '.ringlock/lock.json'), 'utf8')) as LockFile;
    const damaged = [...memory.damages].filter(({ generation }) => generation === Number(name));
    for (const [alias, { directory }] of Object.entries(lock.modules)) {
      if (damaged.some(({ aliases }) => aliases.includes(alias))) continue;
      const isThere = await stat(join(path, directory, 'module.json')).catch(() => undefined);
      if (isThere === undefined) words.push(`generations/${name}/${directory} leads nowhere`);
    }
  }
  return words;
}

/** After gc was told to keep one generation, there is one, and no version that it does not use. */
export async function retention({ root, served, keepsOne }: Observation): Promise<string[]> {
  if (keepsOne !== true || typeof served !== 'object') return [];
  const generations = await readdir(join(root, 'generations'));
  const words =
    generations.length === 1 ? [] : [`the generations ${generations.join(', ')} were kept`];
  const modules = new Set(Object.keys(served.lock.modules));
  for (const alias of await readdir(join(root, 'versions'))) {
    if (!modules.has(alias)) words.push(`versions/${alias} was kept`);
    const kept = await versionDirectories(join(root, 'versions', alias));
    if (kept.length > 1) words.push(`versions/${alias} has ${kept.join(', ')}`);
  }
  return words;
}

async function versionDirectories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** A file beside its place, younger than this, may be another process's at work. */
const ownerTemporaryMs = 15_000;

/** Invariant 4: staging is empty, nobody claims the root, no temporary file is left. */
export async function leftovers({ root }: Observation): Promise<string[]> {
  const words = (await readdir(join(root, 'staging'))).map((name) => `staging/${name} was left`);
  for (const name of await readdir(join(root, 'owner'))) {
    const found = await lstat(join(root, 'owner', name)).catch(() => undefined);
    const isYoung = found !== undefined && Date.now() - found.mtimeMs < ownerTemporaryMs;
    if (name.endsWith('.json') || !isYoung) words.push(`owner/${name} was left`);
  }
  const away = await lstat(join(root, 'ring/database-away-since')).catch(() => undefined);
  if (away !== undefined) words.push('ring/database-away-since was left');
  for (const name of ['requests', 'damaged']) {
    const left = await readdir(join(root, name)).catch(() => []);
    words.push(...left.map((entry) => `${name}/${entry} was left`));
  }
  for (const directory of ['.', 'audit', 'versions', 'repo.git', 'ring']) {
    const isThere = await lstat(join(root, directory)).catch(() => undefined);
    if (isThere === undefined) continue;
    for (const path of await temporaryNames(join(root, directory), directory !== '.')) {
      words.push(`${relative(root, path)} was left`);
    }
  }
  return words;
}

async function temporaryNames(directory: string, below: boolean): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (/\.(tmp|new|lock)$/.test(entry.name) && entry.isFile()) found.push(path);
    if (below && entry.isDirectory()) found.push(...(await temporaryNames(path, true)));
  }
  return found;
}

/** What git was fetched is whole, and nothing half-received lies about. */
export async function objectDatabase({ root }: Observation): Promise<string[]> {
  const repository = join(root, 'repo.git');
  const names = await readdir(join(repository, 'objects/pack')).catch(() => []);
  const words = names
    .filter((name) => !/\.(pack|idx)$/.test(name) || !hasPair(names, name))
    .map((name) => `repo.git/objects/pack/${name} is half a pack`);
  const incoming = await readdir(join(repository, 'incoming')).catch(() => []);
  words.push(...incoming.map((name) => `repo.git/incoming/${name} was left`));
  const indexes = names.filter((name) => name.endsWith('.idx'));
  if (indexes.length === 0) return words;
  const paths = indexes.map((name) => join('objects/pack', name));
  const broken = await git(repository, 'verify-pack', ...paths).catch(
    (error: Error) => error.message,
  );
  if (broken !== '') words.push(broken);
  return words;
}

function hasPair(names: readonly string[], name: string): boolean {
  const base = name.replace(/\.(pack|idx)$/, '');
  return names.includes(`${base}.pack`) && names.includes(`${base}.idx`);
}
