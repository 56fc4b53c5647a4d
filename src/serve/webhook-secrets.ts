import { readSecret } from '../environment.ts';
import { registerSecret } from '../redaction.ts';

/**
 * The secrets that a webhook may show, one a line: while one is replaced, both are right. From
 * RINGLOCK_WEBHOOK_SECRET, or the file that RINGLOCK_WEBHOOK_SECRET_FILE names, read at every call.
 *
 * @throws RinglockError `secret-given-twice`, `secret-unreadable`
 */
export async function readWebhookSecrets(environment: NodeJS.ProcessEnv): Promise<string[]> {
  const text = await readSecret('RINGLOCK_WEBHOOK_SECRET', environment);
  const secrets = (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  for (const secret of secrets) registerSecret(secret);
  return secrets;
}
