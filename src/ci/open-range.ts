import { readFile } from 'node:fs/promises';
import { findRepository, type GitRepository } from '../git/git-command.ts';
import { type CiContext, readCiContext } from './ci-context.ts';
import { type CiRange, findCiRange, type RangeRequest } from './ci-range.ts';

export interface OpenedRange {
  readonly repository: GitRepository;
  readonly context: CiContext;
  readonly range: CiRange;
}

/** The change that this pipeline, or this clone, is about. @throws RinglockError as findCiRange() */
export async function openRange(
  directory: string,
  environment: NodeJS.ProcessEnv,
  request: RangeRequest,
): Promise<OpenedRange> {
  const repository = await findRepository(directory);
  const eventFile = environment['GITHUB_EVENT_PATH'];
  const event = eventFile ? await readFile(eventFile, 'utf8').catch(() => undefined) : undefined;
  const context = readCiContext(environment, event);
  return { repository, context, range: await findCiRange(repository, context, request) };
}
