import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { readJournal } from '../../src/audit/journal.ts';
import { onEnd } from './cleanup.ts';
import type { CliResult } from './cli.ts';
import { deploy, filesLockedAt, filesServed, reconcileOnce, release } from './deploy.ts';
import { passInProcess } from './in-process.ts';
import { createPlatform } from './platform.ts';
import { temporaryDirectory } from './temporary.ts';

/** A root that two commits were deployed to, to be copied and damaged, and a commit that comes later. */
export interface RootToDamage {
  /** Its tip is what the root runs. */
  readonly repo: string;
  /** The same with one more commit. */
  readonly laterRepo: string;
  readonly tip: string;
  readonly laterTip: string;
  /** What git says that the tip, the commit before it and the later one install: path → content. */
  readonly files: Readonly<Record<'before' | 'tip' | 'later', Record<string, string>>>;
  /** Ids of the events that the root's audit has. */
  readonly events: readonly string[];
  copy(t: TestContext, parent?: string): string;
}

/** Made once for a test file: damage is done to copies. */
export async function createRootToDamage(t: TestContext): Promise<RootToDamage> {
  const platform = createPlatform(t);
  const repo = platform.addRemote(t);
  const root = temporaryDirectory(t, 'undamaged');
  const converge = async () => {
    const { code, stderr } = await reconcileOnce({ repo, root });
    assert.equal(code, 0, stderr);
  };
  await converge();
  release(platform, 'Orders', '1.1.0');
  const tip = deploy(platform, 'Orders 1.1.0');
  await converge();
  const laterRepo = join(temporaryDirectory(t, 'later'), 'later.git');
  execFileSync('git', ['clone', '-q', '--bare', repo, laterRepo]);
  release(platform, 'Products', '1.2.0');
  platform.git('remote', 'set-url', 'origin', laterRepo);
  const laterTip = deploy(platform, 'Products 1.2.0');
  return {
    repo,
    laterRepo,
    tip,
    laterTip,
    files: {
      before: filesLockedAt(platform, `${tip}~1`, 'canary'),
      tip: filesLockedAt(platform, tip, 'canary'),
      later: filesLockedAt(platform, laterTip, 'canary'),
    },
    events: await eventIds(root),
    copy: (context, parent = temporaryDirectory(context, 'damaged')) => {
      const path = join(parent, 'root');
      execFileSync('cp', ['-a', root, path]);
      onEnd(context, () => makeWritable(path));
      return path;
    },
  };
}

/** A context for what lives as long as a test file; its end is `end()`. */
export function fileContext(): { context: TestContext; end(): Promise<void> } {
  const cleaners: (() => unknown)[] = [];
  const context = { after: (clean: () => unknown) => cleaners.push(clean) };
  return {
    context: context as unknown as TestContext,
    end: async () => {
      for (const clean of cleaners) await clean();
    },
  };
}

/** The ids of a root's events, having verified its chain: each is there once. */
export async function eventIds(root: string): Promise<string[]> {
  const ids: string[] = [];
  let time = '';
  for await (const { event } of readJournal(join(root, 'audit'))) {
    assert.ok(event.time >= time, `${event.time} comes after ${time}`);
    time = event.time;
    ids.push(event.id);
  }
  assert.equal(new Set(ids).size, ids.length, 'an event is there twice');
  return ids;
}

/** A healthy run afterwards goes on: it converges to the later commit, and the audit lost no event. */
export async function expectGoesOn(
  { laterRepo, files, events }: RootToDamage,
  root: string,
  lost: readonly string[] = [],
): Promise<void> {
  const { code, status } = await passInProcess({ repo: laterRepo, root });
  assert.equal(code, 0, JSON.stringify(status));
  assert.deepEqual(filesServed(root), files.later);
  const ids = new Set(await eventIds(root));
  assert.deepEqual(
    events.filter((id) => !ids.has(id) && !lost.includes(id)),
    [],
    'events are lost',
  );
}

export function repair(
  { repo }: RootToDamage,
  root: string,
  ...more: string[]
): Promise<CliResult> {
  return reconcileOnce({ repo, root }, ['--repair', ...more]);
}

/** Turns bits of one byte, whatever the file's modes. */
export function flipByte(path: string, at: number, by = 0xff): void {
  chmodSync(path, 0o644);
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ by;
  writeFileSync(path, bytes);
}

export function replaceContent(path: string, text: string): void {
  chmodSync(path, 0o644);
  writeFileSync(path, text);
}

/** Deletes a file or a tree, though it is read-only. */
export function deleteAll(path: string): void {
  makeWritable(path);
  execFileSync('rm', ['-rf', path]);
}

export function replaceByDirectory(path: string): void {
  deleteAll(path);
  mkdirSync(path);
  writeFileSync(join(path, 'foreign'), 'of somebody else\n');
}

export function replaceByFile(path: string): void {
  deleteAll(path);
  writeFileSync(path, 'of somebody else\n');
}

/** The generation that `current` shows. */
export function shownGeneration(root: string): string {
  return realpathSync(join(root, 'current'));
}

export function packFilesOf(root: string): string[] {
  const directory = join(root, 'repo.git/objects/pack');
  return readdirSync(directory)
    .sort()
    .map((name) => join(directory, name));
}

export function namesBelow(root: string, directory: string): string[] {
  try {
    return readdirSync(join(root, directory)).sort();
  } catch {
    return [];
  }
}

function makeWritable(path: string): void {
  execFileSync('chmod', ['-Rf', 'u+rwX', path], { stdio: 'ignore' });
}
