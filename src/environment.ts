import { readFile } from 'node:fs/promises';
import { badInput, environmentFailed } from './errors.ts';
import { registerSecret, registerUrl } from './redaction.ts';
import { isSameOrigin } from './wire/same-origin.ts';

/**
 * Has redact() hide every secret that an environment holds, by names that say so and in URLs, and that
 * the files hold which its *_FILE variables name: one may come back before it is used for the first time.
 * A file that cannot be read is for whoever needs it.
 */
export async function registerEnvironment(environment: NodeJS.ProcessEnv): Promise<void> {
  for (const [name, value = ''] of Object.entries(environment)) {
    const stem = name.replace(/_FILE$/i, '');
    registerUrl(value);
    if (stem === name && secretName.test(name)) {
      registerSecret(value);
    } else if (stem !== name && (secretName.test(stem) || /_(URL|PROXY)(_\d+)?$/i.test(stem))) {
      registerSecret(await readFile(value, 'utf8').catch(() => undefined));
    }
  }
}

const secretName = /(?:TOKEN|PASSWORD|PASSWD|SECRET|PASSPHRASE|CREDENTIALS?|KEY)(?:_\d+)?$/i;

/**
 * A secret from the environment: the value of NAME, or the content of the file that NAME_FILE
 * names (one trailing line break is not part of it). The file is read at every call, so a mounted
 * secret that is replaced takes effect; keep no copy of the answer. redact() hides it from here on.
 *
 * @returns undefined when neither is set, or when the value is empty
 * @throws RinglockError `secret-given-twice`, `secret-unreadable`
 */
export async function readSecret(
  name: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  const value = environment[name] || undefined;
  registerSecret(value);
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined) return value;
  if (value !== undefined) {
    throw badInput('secret-given-twice', `both ${name} and ${name}_FILE are set, expected one`);
  }
  try {
    const content = (await readFile(file, 'utf8')).replace(/\r?\n$/, '') || undefined;
    registerSecret(content);
    return content;
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw environmentFailed(
      'secret-unreadable',
      `${name}_FILE names ${file}, which cannot be read: ${reason}`,
      {
        hint: 'Mount the secret there, or set the variable to where it is.',
      },
    );
  }
}

/** The same without blanks around it, which no token has. @throws RinglockError as readSecret() */
export async function readToken(
  name: string,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  return (await readSecret(name, environment))?.trim() || undefined;
}

/**
 * The token of a GitLab CI job, for its own server alone: every job says which that is.
 *
 * @throws RinglockError as readSecret()
 */
export async function readJobToken(
  url: URL,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const isItsOwn = isSameOrigin(url, environment['CI_SERVER_URL']);
  return isItsOwn ? readToken('CI_JOB_TOKEN', environment) : undefined;
}
