import { readSecret } from '../environment.ts';
import { badInput } from '../errors.ts';
import { redactUrl } from '../redaction.ts';
import { statusTokenName } from './commit-status.ts';
import { githubStatus } from './github-status.ts';
import { gitlabStatus } from './gitlab-status.ts';
import type { Receiver } from './receiver.ts';
import { parseReceiverUrl } from './receiver-url.ts';

const forges = ['gitlab', 'github', 'gitea'] as const;
type Forge = (typeof forges)[number];

/**
 * Where the statuses of a repository's commits go.
 *
 * @param forge `gitlab`, `github` (also Enterprise) or `gitea` (also Forgejo)
 * @param given the project's URL in the API, when the repository's URL does not say it
 * @throws RinglockError `invalid-commit-status`, `commit-status-url-missing`, `insecure-url`
 */
export function statusReceiver(
  forge: string,
  repository: string,
  given: string | undefined,
  environment: NodeJS.ProcessEnv,
): Receiver {
  if (!isForge(forge)) {
    throw badInput(
      'invalid-commit-status',
      `--commit-status is ${JSON.stringify(forge)}, expected ${forges.join(', ')}`,
    );
  }
  const url = parseReceiverUrl(
    given ?? apiUrl(forge, repository),
    '--commit-status-url',
    'invalid-commit-status-url',
  );
  url.search = '';
  url.username = '';
  url.password = '';
  url.pathname = url.pathname.replace(/\/+$/, '');
  const token = () => statusToken(environment);
  const kind = forge === 'gitlab' ? gitlabStatus(url, token) : githubStatus(url, token);
  const display = `the commit statuses of ${url.href}`;
  return { ...kind, id: `${forge} ${url.href}`, display, isLastWord: true };
}

/** @throws RinglockError `status-token-missing`, `secret-…` */
export async function statusToken(environment: NodeJS.ProcessEnv): Promise<string> {
  const token = (await readSecret(statusTokenName, environment))?.trim();
  if (token !== undefined && token !== '') return token;
  throw badInput('status-token-missing', `--commit-status is given without ${statusTokenName}`, {
    hint: `Set it, or ${statusTokenName}_FILE, to a token that may write commit statuses.`,
  });
}

function isForge(text: string): text is Forge {
  return forges.some((forge) => forge === text);
}

/** The project's URL in the API, from what git clone takes (https://…, ssh://… or git@host:path). */
function apiUrl(forge: Forge, repository: string): string {
  const [, host, path] =
    /^(?:https?|ssh):\/\/(?:[^/]*@)?([^/]+)\/(.+)$/i.exec(repository) ??
    /^[^/@]+@([^/:]+):(?!\/)(.+)$/.exec(repository) ??
    [];
  const name = path
    ?.replace(/[?#].*$/, '')
    .replace(/\/+$/, '')
    .replace(/\.git$/, '');
  if (host === undefined || name === undefined || !name.includes('/')) {
    throw badInput(
      'commit-status-url-missing',
      `--repo ${redactUrl(repository)} does not say which project of ${forge} gets the statuses`,
      { hint: `Give --commit-status-url, as ${examples[forge]}` },
    );
  }
  // The port of ssh:// is no port of the API.
  const origin = /^https?:/i.test(repository)
    ? `${new URL(repository).protocol}//${host}`
    : `https://${host.replace(/:\d+$/, '')}`;
  if (forge === 'gitlab') return `${origin}/api/v4/projects/${encodeURIComponent(name)}`;
  if (forge === 'gitea') return `${origin}/api/v1/repos/${name}`;
  return /^(www\.)?github\.com$/i.test(host)
    ? `https://api.github.com/repos/${name}`
    : `${origin}/api/v3/repos/${name}`;
}

const examples: Readonly<Record<Forge, string>> = {
  gitlab: 'https://gitlab.example.com/api/v4/projects/42',
  github: 'https://api.github.com/repos/acme/platform',
  gitea: 'https://gitea.example.com/api/v1/repos/acme/platform',
};
