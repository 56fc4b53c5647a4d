import { readLimited } from '../git/http-failures.ts';
import { connectionReason } from '../lifecycle/handler-http.ts';
import { redactLine, registerSecret } from '../redaction.ts';
import type { Connections } from '../wire/connections.ts';
import type { Answer, OutgoingRequest } from './receiver.ts';

/** How long one attempt may take altogether, in ms; Standard Webhooks recommends 15 to 30 s. */
export const attemptMs = 20_000;

/**
 * POSTs a request once; redirects are not followed.
 *
 * @returns the answer, or why none came, in words
 * @throws the signal's reason
 */
export async function sendRequest(
  connections: Connections,
  { url, headers, body, secrets, hidden = [] }: OutgoingRequest,
  signal: AbortSignal,
): Promise<Answer | string> {
  const limit = AbortSignal.timeout(attemptMs);
  for (const secret of secrets) registerSecret(secret);
  try {
    const { request, dispatcher } = await connections.wayTo(new URL(url));
    const response = await request(url, {
      method: 'POST',
      dispatcher,
      headers: { 'user-agent': 'ringlock', ...headers },
      body,
      signal: AbortSignal.any([signal, limit]),
    });
    const text = redactLine(without(hidden, await readLimited(response.body)), 200);
    return { status: response.statusCode, headers: response.headers, text };
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return `it did not answer within ${attemptMs / 1000} s`;
    return `it cannot be reached: ${redactLine(connectionReason(error), 200)}`;
  }
}

function without(hidden: readonly string[], text: string): string {
  return [...hidden]
    .sort((a, b) => b.length - a.length)
    .reduce((rest, part) => rest.replaceAll(part, '***'), text);
}
