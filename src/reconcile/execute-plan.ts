import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { AuditLog } from '../audit/audit-log.ts';
import { moduleManifestFile } from '../digest/module-files.ts';
import type { Plan, Step } from '../plan/plan.ts';
import { changelogSection } from '../repo/changelog.ts';
import type { LockEntry } from '../repo/lock.ts';
import { parseModuleManifest } from '../repo/module-manifest.ts';
import type { ModuleSource } from '../source/module-source.ts';
import { takeFromSources } from '../source/source-chain.ts';
import type { Generation } from '../store/generation.ts';
import type { Root } from '../store/root.ts';
import { makeVisible } from './make-visible.ts';
import { type OperationFacts, switchEvents } from './operation-events.ts';

/** Modules staged at once: disk and digest are the limit, not the network. */
const stagedAtOnce = 4;

export interface Execution {
  readonly root: Root;
  readonly audit: AuditLog;
  readonly sources: readonly ModuleSource[];
  readonly facts: OperationFacts;
  /** The commit whose lock is made true. */
  readonly commit: string | null;
  readonly repository: string;
  readonly branch: string;
  readonly startedAt: Date;
  readonly now: () => Date;
  /** Once aborted, an operation that is not yet visible is dropped. */
  readonly signal: AbortSignal;
  /** Particulars of the operation event. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * Makes a plan true, all or nothing: stages and verifies every module, builds the generation, then
 * switches. What is written ahead in the journal lets recovery finish or drop it at any point.
 *
 * @returns the generation that is now current
 * @throws RinglockError of the sources or the store; the generation before is then still current
 */
export async function executePlan(plan: Plan, execution: Execution): Promise<Generation> {
  const { root, audit, facts, signal } = execution;
  const staged = await prepare(plan, execution);
  signal.throwIfAborted();
  const before = await root.current();
  const { operationId } = facts;
  const { commit, repository, branch } = execution;
  const generation = await root.buildGeneration(plan.effective, {
    commit,
    operationId,
    repository,
    branch,
  });
  const events = switchEvents(facts, plan, staged, {
    ...execution.detail,
    commit,
    from_generation: before?.number ?? null,
    to_generation: generation.number,
    lock_digest: generation.lockDigest,
    platform: plan.effective.platform,
    duration_ms: execution.now().getTime() - execution.startedAt.getTime(),
  });
  await makeVisible(root, audit, { operationId, commit, before, after: generation, events });
  return generation;
}

/** Nothing is visible before everything is staged and verified (invariant 2). */
async function prepare(
  plan: Plan,
  { root, sources, signal }: Execution,
): Promise<Map<string, Readonly<Record<string, unknown>>>> {
  const facts = new Map<string, Readonly<Record<string, unknown>>>();
  const limit = pLimit(stagedAtOnce);
  const stageStep = async ({ alias, to }: Step) => {
    if (to === null) return;
    signal.throwIfAborted();
    const pin = { alias, version: to.version, sha256: to.sha256 };
    const source = (await root.hasVersion(pin))
      ? 'store'
      : await takeFromSources(sources, { alias, entry: to }, async (files, name) => {
          await root.stage(pin, files, name);
        });
    facts.set(alias, { source, ...(await storedFacts(root, alias, to)) });
  };
  await allOrFirstError(plan.steps.map((step) => limit(() => stageStep(step))));
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
  { version, sha256 }: LockEntry,
): Promise<Record<string, unknown>> {
  const path = await root.versionPath({ alias, version, sha256 });
  if (path === undefined) return {};
  const text = await readFile(join(path, moduleManifestFile), 'utf8');
  const manifest = parseModuleManifest(text, `${alias} ${version}'s ${moduleManifestFile}`);
  const changelog = await readFile(join(path, manifest.changelog), 'utf8').catch(() => undefined);
  const section = changelog === undefined ? undefined : changelogSection(changelog, version);
  return { source_path: path, ...(section !== undefined && { changelog: section }) };
}
