import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import type { Receiver } from './receiver.ts';
import { statusReceiver, statusToken } from './status-receiver.ts';
import { webhookReceiver } from './webhook-receiver.ts';
import { signingKeys, signingSecretName } from './webhook-signature.ts';

/** Who is to be told, as the pod's flags and environment say it. */
export interface OutwardOptions {
  readonly repository: string;
  readonly webhookUrls: readonly string[];
  /** `gitlab`, `github` or `gitea`. */
  readonly commitStatus: string | undefined;
  readonly commitStatusUrl: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
}

/**
 * The receivers, with what they need checked before anything begins.
 *
 * @throws RinglockError for a URL or a secret that cannot be
 */
export async function readReceivers(options: OutwardOptions): Promise<Receiver[]> {
  const { repository, webhookUrls, commitStatus, commitStatusUrl, environment } = options;
  const receivers = [...new Set(webhookUrls)].map((url) => webhookReceiver(url, environment));
  if (receivers.length > 0) signingKeys(await readSecret(signingSecretName, environment));
  if (commitStatus === undefined) {
    if (commitStatusUrl === undefined) return receivers;
    throw badInput(
      'invalid-commit-status',
      '--commit-status-url is given without --commit-status gitlab, github or gitea',
    );
  }
  const statuses = statusReceiver(commitStatus, repository, commitStatusUrl, environment);
  await statusToken(environment);
  return [...receivers, statuses];
}
