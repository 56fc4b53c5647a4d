import { Option } from 'clipanion';
import type { RangeRequest } from '../ci/ci-range.ts';
import { BaseCommand } from './base.ts';

/** What the commands of a pipeline share: which change they look at. */
export abstract class BaseRangeCommand extends BaseCommand {
  target = Option.String('--target', {
    description: "What the change is to be merged into; the pipeline's target branch by default.",
  });
  head = Option.String('--head', { description: 'What is looked at; HEAD by default.' });
  remote = Option.String('--remote', { description: 'Where history is fetched from; origin.' });
  offline = Option.Boolean('--offline', false, {
    description: 'Fetch nothing: compare with what is in this clone.',
  });

  protected request(need: RangeRequest['need']): RangeRequest {
    const { target, head, remote, offline } = this;
    return { target, head, remote, offline, need };
  }
}
