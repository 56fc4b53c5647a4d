import { readFile } from 'node:fs/promises';
import { badInput } from './errors.ts';

/**
 * A secret from the environment: the value of NAME, or the content of the file that NAME_FILE
 * names (one trailing line break is not part of it). The file is read at every call, so a mounted
 * secret that is replaced takes effect; keep no copy of the answer.
 *
 * @returns undefined when neither is set, or when the value is empty
 * @throws RinglockError `secret-given-twice`, `secret-unreadable`
 */
export async function readSecret(
  name: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  const value = environment[name] || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined) return value;
  if (value !== undefined) {
    throw badInput('secret-given-twice', `both ${name} and ${name}_FILE are set, expected one`);
  }
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '') || undefined;
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw badInput(
      'secret-unreadable',
      `${name}_FILE names ${file}, which cannot be read: ${reason}`,
      {
        hint: 'Mount the secret there, or set the variable to where it is.',
      },
    );
  }
}
