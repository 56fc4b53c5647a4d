import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Where `.ci/run` puts what only checks templates: an npm prefix, outside of the checkout. */
const prefix = process.env['RINGLOCK_CI_TOOLS'];

/**
 * How gitlab-ci-local is started: that of RINGLOCK_CI_TOOLS by the Node that is installed beside it (it
 * needs 22), else the one on PATH.
 */
function gitlabCiLocal(): readonly string[] | undefined {
  if (prefix !== undefined) {
    const modules = join(prefix, 'node_modules');
    const own = join(modules, 'node/bin/node');
    return [
      existsSync(own) ? own : process.execPath,
      join(modules, 'gitlab-ci-local/dist/index.js'),
    ];
  }
  return isOnPath('gitlab-ci-local') ? ['gitlab-ci-local'] : undefined;
}

/** Why GitLab's templates cannot be run here; with RINGLOCK_TEST_REQUIRE_ALL=1 the test fails instead. */
export function withoutGitlabCiLocal(): string | undefined {
  if (process.env['RINGLOCK_TEST_REQUIRE_ALL'] === '1') return undefined;
  if (gitlabCiLocal() === undefined) {
    return 'gitlab-ci-local is neither on PATH nor in RINGLOCK_CI_TOOLS (see .ci/run)';
  }
  return isOnPath('rsync') ? undefined : 'rsync, which gitlab-ci-local copies with, is not on PATH';
}

/** Runs gitlab-ci-local in a repository with its shell executor. */
export function runGitlabCiLocal(
  directory: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<{ readonly code: number; readonly output: string; readonly stdout: string }> {
  const [command = 'gitlab-ci-local', ...first] = gitlabCiLocal() ?? [];
  const all = [...first, '--force-shell-executor', '--no-color', ...args];
  return new Promise((settle, fail) => {
    const child = spawn(command, all, { cwd: directory, env: environment });
    let [stdout, output] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      output += chunk;
    });
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', fail);
    child.on('close', (code) => settle({ code: code ?? -1, output, stdout }));
  });
}

/** SchemaStore's JSON Schema of GitHub workflows, as action-validator has it compiled in. */
export interface WorkflowValidator {
  validateWorkflow(text: string): { readonly errors: readonly object[] };
}

export function workflowValidator(): WorkflowValidator | undefined {
  if (prefix === undefined) return undefined;
  return createRequire(join(prefix, 'package.json'))('@action-validator/core');
}

function isOnPath(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}
