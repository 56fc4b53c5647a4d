import { environmentFailed } from '../errors.ts';
import { childEnvironment, withTemporaryDirectory } from '../lifecycle/handler-environment.ts';
import { lastWords } from '../lifecycle/handler-output.ts';
import { runChild } from '../lifecycle/handler-process.ts';
import { showMs } from '../lifecycle/handler-time-limit.ts';
import { redactLine, redactUrl, registerUrl } from '../redaction.ts';
import type { CheckFacts, GatedVersion } from '../repo/gate-verdicts.ts';
import type { RequiredCheck } from '../repo/gates.ts';
import { Connections } from '../wire/connections.ts';

export interface CheckPlace {
  /** Where commands run: the repository's top. */
  readonly directory: string;
  /** The ring that the version comes to. */
  readonly ring: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** Asks each check about a version, all at once; in their order. */
export async function askChecks(
  checks: readonly RequiredCheck[],
  version: GatedVersion,
  place: CheckPlace,
): Promise<CheckFacts[]> {
  return Promise.all(
    checks.map((check) =>
      check.kind === 'url'
        ? askUrl(check, version, place)
        : runCommand(check.command, check, version, place),
    ),
  );
}

/** Any 2xx agrees. What a URL redirects to was not agreed upon: it is an answer that does not agree. */
async function askUrl(
  check: Extract<RequiredCheck, { kind: 'url' }>,
  version: GatedVersion,
  { ring, environment }: CheckPlace,
): Promise<CheckFacts> {
  registerUrl(check.url);
  const url = urlFor(check.url, { ...version, ring });
  const display = redactUrl(url.href);
  const connections = new Connections({
    idleTimeoutMs: check.timeoutMs,
    caFile: environment['RINGLOCK_CA_FILE'] || undefined,
    environment,
  });
  const { username, password } = url;
  url.username = '';
  url.password = '';
  const authorization = username === '' ? {} : { authorization: basic(username, password) };
  try {
    const { request, dispatcher } = await connections.wayTo(url);
    const signal = AbortSignal.timeout(check.timeoutMs);
    const headers = { 'user-agent': 'ringlock', ...authorization };
    const { statusCode, body } = await request(url, { dispatcher, signal, headers });
    body.on('error', () => {});
    body.destroy();
    const isOk = statusCode >= 200 && statusCode < 300;
    const message = `${display} answered ${statusCode}${isOk ? '' : ', expected 2xx'}`;
    return { state: isOk ? 'open' : 'closed', message };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // Nobody answered: that is neither a yes nor a no.
    return { state: 'unjudged', message: redactLine(`${display} did not answer: ${reason}`) };
  } finally {
    await connections.close();
  }
}

/** `{ring}`, `{alias}`, `{version}` and `{sha256}` stand for what is asked about. */
function urlFor(template: string, values: GatedVersion & { readonly ring: string }): URL {
  const filled = template.replace(/\{(ring|alias|version|sha256|source)\}/g, (_, name) =>
    encodeURIComponent(values[name as keyof typeof values]),
  );
  return new URL(filled);
}

function basic(username: string, password: string): string {
  const plain = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(plain).toString('base64')}`;
}

const outputBytes = 16 * 1024;

/** Exit code 0 agrees. The command sees what is listed for it, and no other secret of this process. */
async function runCommand(
  command: string,
  check: Extract<RequiredCheck, { kind: 'command' }>,
  { alias, version, sha256, source }: GatedVersion,
  { directory, ring, environment }: CheckPlace,
): Promise<CheckFacts> {
  const listed = Object.fromEntries(check.environment.map((name) => [name, environment[name]]));
  const facts = {
    ...listed,
    RINGLOCK_RING: ring,
    RINGLOCK_SOURCE_RING: source,
    RINGLOCK_ALIAS: alias,
    RINGLOCK_VERSION: version,
    RINGLOCK_SHA256: sha256,
  };
  const unwritable = (path: string, cause: unknown) =>
    environmentFailed('no-temporary-directory', `${path} cannot be written`, { cause });
  return withTemporaryDirectory(environment, unwritable, async (temporary) => {
    const end = await runChild(
      {
        file: '/bin/sh',
        args: ['-c', command],
        cwd: directory,
        environment: childEnvironment(environment, temporary, facts, environment['HOME']),
        input: '',
        timeoutMs: check.timeoutMs,
        outputBytes,
        killGraceMs: 1000,
        temporary,
      },
      new AbortController().signal,
    );
    const said = lastWords(end.output);
    const tail = said === '' ? '' : `: ${said}`;
    if (end.spawnError !== undefined) {
      return { state: 'unjudged', message: `it cannot be started: ${end.spawnError.message}` };
    }
    if (end.timedOut) {
      return {
        state: 'closed',
        message: `it did not end within ${showMs(check.timeoutMs)}${tail}`,
      };
    }
    if (end.exitCode === 0) return { state: 'open', message: `it ended with 0${tail}` };
    const how =
      end.exitCode === null ? `was killed by ${end.signal}` : `ended with ${end.exitCode}`;
    return { state: 'closed', message: `it ${how}, expected 0${tail}` };
  });
}
