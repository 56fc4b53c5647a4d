import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { Plan, Step } from '../plan/plan.ts';
import { changelogSection } from '../repo/changelog.ts';
import type { LockEntry } from '../repo/lock.ts';
import type { ModuleSource } from '../source/module-source.ts';
import { takeFromSources } from '../source/source-chain.ts';
import type { Root } from '../store/root.ts';
import { readModuleCode } from './module-code.ts';

/** Modules staged at once: disk and digest are the limit, not the network. */
const stagedAtOnce = 4;

/**
 * Stages and verifies every module of a plan; nothing is visible before all of it is there
 * (invariant 2).
 *
 * @returns what the audit says of each, by alias
 * @throws RinglockError of the sources or the store
 */
export async function stagePlan(
  { steps }: Plan,
  root: Root,
  sources: readonly ModuleSource[],
  signal: AbortSignal,
): Promise<Map<string, Readonly<Record<string, unknown>>>> {
  const facts = new Map<string, Readonly<Record<string, unknown>>>();
  const limit = pLimit(stagedAtOnce);
  const stageStep = async ({ alias, to }: Step) => {
    if (to === null) return;
    signal.throwIfAborted();
    const pin = { alias, version: to.version, sha256: to.sha256 };
    const source = (await root.hasVersion(pin))
      ? ((await root.stagedFrom(pin)) ?? 'store')
      : await takeFromSources(sources, { alias, entry: to }, async (files, name) => {
          await root.stage(pin, files, name);
        });
    facts.set(alias, { source, ...(await storedFacts(root, alias, to)) });
  };
  await allOrFirstError(steps.map((step) => limit(() => stageStep(step))));
  signal.throwIfAborted();
  return facts;
}

/** Waits for every task, also when one failed, so that none still writes when the error is handled. */
async function allOrFirstError(tasks: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(tasks);
  const failed = results.find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** What the audit says of a stored version: where it is, and the changelog section of its version. */
async function storedFacts(
  root: Root,
  alias: string,
  entry: LockEntry,
): Promise<Record<string, unknown>> {
  const code = await readModuleCode(root, alias, entry);
  if (code === undefined) return {};
  const { path, manifest } = code;
  const changelog = await readFile(join(path, manifest.changelog), 'utf8').catch(() => undefined);
  const section = changelog === undefined ? undefined : changelogSection(changelog, entry.version);
  return { source_path: path, ...(section !== undefined && { changelog: section }) };
}
