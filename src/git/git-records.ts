import { spawn } from 'node:child_process';
import { type GitRepository, gitEnvironment, gitFailed, gitMissing } from './git-command.ts';

/**
 * Runs a git command whose output is records, each ended by one byte, and hands them over as they come,
 * so that no more than one record is held.
 *
 * @param onRecord gets the record without its end; the bytes are only valid during the call
 * @throws RinglockError `git-failed`, `git-missing`, and whatever onRecord throws
 */
export function readGitRecords(
  { topLevel }: GitRepository,
  args: readonly string[],
  end: '\0' | '\n',
  onRecord: (record: Buffer) => void,
  input?: string,
): Promise<void> {
  return new Promise((settle, fail) => {
    const child = spawn('git', args, { cwd: topLevel, env: gitEnvironment(), stdio: 'pipe' });
    const stderr: Buffer[] = [];
    const byte = end.charCodeAt(0);
    let rest: Buffer[] = [];
    let failure: unknown;
    const give = (record: Buffer): void => {
      if (failure !== undefined) return;
      try {
        onRecord(record);
      } catch (error) {
        failure = error;
        child.kill();
      }
    };
    child.stdout.on('data', (chunk: Buffer) => {
      let at = 0;
      for (let stop = chunk.indexOf(byte); stop !== -1; stop = chunk.indexOf(byte, at)) {
        const piece = chunk.subarray(at, stop);
        give(rest.length === 0 ? piece : Buffer.concat([...rest, piece]));
        rest = [];
        at = stop + 1;
      }
      if (at < chunk.length) rest.push(chunk.subarray(at));
    });
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', (error) => fail(gitMissing(topLevel, error)));
    child.on('close', (code) => {
      if (rest.length > 0) give(Buffer.concat(rest));
      const outcome = {
        status: code ?? -1,
        stdout: Buffer.alloc(0),
        stderr: `${Buffer.concat(stderr)}`,
      };
      if (failure !== undefined) fail(failure);
      else if (code !== 0) fail(gitFailed(args, outcome));
      else settle();
    });
    // A git that ends early closes the pipe; its exit code says why.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

/** Which of some object ids are not in the repository, in the order given. */
export async function missingObjects(
  repository: GitRepository,
  oids: readonly string[],
): Promise<string[]> {
  if (oids.length === 0) return [];
  const missing: string[] = [];
  const args = ['cat-file', '--batch-check=%(objectname)', '--buffer'];
  await readGitRecords(
    repository,
    args,
    '\n',
    (line) => {
      const [oid = '', state] = line.toString('latin1').split(' ');
      if (state === 'missing') missing.push(oid);
    },
    `${oids.join('\n')}\n`,
  );
  return missing;
}
