import { hostname } from 'node:os';
import { Command, Option } from 'clipanion';
import * as t from 'typanion';
import { registerEnvironment } from '../environment.ts';
import { badInput } from '../errors.ts';
import { becomeReaper } from '../process-one.ts';
import { openLog } from '../reconcile/log.ts';
import {
  exitCodeOf,
  type ReconcileMode,
  type RunOptions,
  runReconciler,
} from '../reconcile/run-reconciler.ts';
import { registerUrl } from '../redaction.ts';
import { parseByteSize } from '../repo/byte-size.ts';
import { parseDuration } from '../repo/duration.ts';
import type { Repair } from '../store/set-aside.ts';
import type { RootStatus } from '../store/status-file.ts';
import { version } from '../version.ts';
import { BaseCommand } from './base.ts';

export class ReconcileCommand extends BaseCommand {
  static override paths = [['reconcile']];
  static override usage = Command.Usage({
    category: 'Ring pod',
    description: "Make a directory match a ring's committed lock, once or for ever.",
    details: `
      Compares the lock that the branch has committed for the ring with the root on disk, and installs,
      upgrades, downgrades, repairs or removes modules until they match: verified, all or nothing.
      Applications read \`<root>/current\` only; \`--strategy in-place\` also makes \`--modules-dir\`
      equal to it, module by module, for an image that bakes its modules.

      \`--once\` makes one pass and exits 0 when the root is converged, 1 when the lock was refused, 3
      when the environment failed. \`--init\` is for init containers: it exits 0 when the lock, the
      last good generation or the seed serves. \`--watch\` goes on until SIGTERM; SIGHUP makes a pass
      now.

      \`--repair\` goes with one of them: what is damaged in the root is moved to \`<root>/damaged/\`,
      never deleted, and rebuilt from what is left before the first pass.

      After a switch the application is told (notify) and asked (health), as manifests/ringlock.yaml or
      the flags here say; a version that comes up sick is reverted by itself, and not tried again until
      it changes or \`ringlock retry\`. Replicas of a ring agree through DATABASE_URL: migrations and
      handlers run once, and switches go in waves.

      \`--webhook-url\` and \`--commit-status\` tell the outside what becomes of the ring; addresses come
      from these flags only, secrets from RINGLOCK_WEBHOOK_SIGNING_SECRET and RINGLOCK_STATUS_TOKEN.

      With \`--allowed-signers\` or \`--gpg-keys\` the tip and every commit that changes manifests/ since
      the last verified one has to be signed by one of these keys.

      \`--listen\` serves \`/healthz\`, \`/readyz\`, \`/metrics\`, \`/api/status\` and, where
      RINGLOCK_WEBHOOK_SECRET is set, \`POST /webhook\`, with which a forge has the ring look at its
      branch at once.

      Given again, \`--repo\` says where else the same repository is: the first that answers is taken, and
      one whose branch is behind what is deployed is skipped.

      Environment: RING_NAME, RINGLOCK_LOG_LEVEL, RINGLOCK_LOG_FORMAT, RINGLOCK_SSH_KEY_FILE,
      RINGLOCK_KNOWN_HOSTS_FILE, RINGLOCK_CA_FILE, NO_PROXY, MODULE_REGISTRY_URL,
      RINGLOCK_MODULE_PLACES (where packages and mirrors may be), and as
      values or as *_FILE, read again when the file changes: DATABASE_URL, MIGRATIONS_DATABASE_URL,
      RINGLOCK_GIT_TOKEN (RINGLOCK_GIT_TOKEN_2 for the second --repo), RINGLOCK_SSH_PASSPHRASE,
      MODULE_REGISTRY_TOKEN, RINGLOCK_WEBHOOK_SECRET, RINGLOCK_WEBHOOK_SIGNING_SECRET, RINGLOCK_STATUS_TOKEN, HTTPS_PROXY,
      HTTP_PROXY.
    `,
    examples: [
      [
        'Converge once from a server',
        '$0 reconcile --once --repo https://git.example.com/platform.git --ring canary --root /srv/modules',
      ],
      [
        'Converge once over SSH',
        '$0 reconcile --once --repo ssh://git@git.example.com/platform.git --ssh-key /etc/git/key --known-hosts /etc/git/known_hosts --ring canary --root /srv/modules',
      ],
      [
        'Run as a sidecar',
        '$0 reconcile --watch --repo https://git.example.com/platform.git --root /srv/modules --listen 0.0.0.0:8080',
      ],
      [
        'Keep the modules directory of an image as locked',
        '$0 reconcile --watch --repo https://git.example.com/platform.git --root /srv/modules --strategy in-place --modules-dir /app/modules',
      ],
    ],
  });

  once = Option.Boolean('--once', false, { description: 'Make one pass, then exit.' });
  init = Option.Boolean('--init', false, { description: 'Exit 0 when anything serves.' });
  watch = Option.Boolean('--watch', false, { description: 'Go on until SIGTERM.' });
  repo = Option.Array('--repo', {
    required: true,
    description: 'An https or ssh URL, or a path; given again, where to ask when that one fails.',
  });
  caFile = Option.String('--ca-file', {
    description: 'Certificates to trust besides the usual ones (default: RINGLOCK_CA_FILE).',
  });
  root = Option.String('--root', { required: true, description: 'The directory to own.' });
  ring = Option.String('--ring', { description: 'The ring (default: RING_NAME).' });
  branch = Option.String('--branch', 'main', { description: 'The branch to follow (main).' });
  interval = Option.String('--interval', '30s', { description: 'Time between passes (30s).' });
  sshKey = Option.String('--ssh-key', {
    description: 'The private key for an ssh repository (default: RINGLOCK_SSH_KEY_FILE).',
  });
  knownHosts = Option.String('--known-hosts', {
    description: "The file with its server's host keys (default: RINGLOCK_KNOWN_HOSTS_FILE).",
  });
  initInterval = Option.String('--init-interval', '2s', {
    description: 'Time between failed passes until something serves (2s).',
  });
  maxFailures = Option.String('--max-failures', {
    description: 'End with 3 when nothing serves after so many passes (--init: 1; --watch: never).',
    validator: t.cascade(t.isNumber(), [t.isInteger(), t.isAtLeast(1)]),
  });
  timeout = Option.String('--timeout', '30m', {
    description: 'How long a pass may take to look, fetch and stage (30m).',
  });
  databaseUrl = Option.String('--database-url', { description: 'PostgreSQL for the audit.' });
  listen = Option.String('--listen', {
    description: 'PORT or HOST:PORT of probes, metrics, status and webhook.',
  });
  seed = Option.String('--seed', { description: 'A baked lock and modules to start from.' });
  link = Option.String('--link', 'symlink', { description: 'symlink (default) or hardlink.' });
  strategy = Option.String('--strategy', 'generation', {
    description: 'generation (default), or in-place for images without `current`.',
  });
  modulesDir = Option.String('--modules-dir', {
    description: 'What --strategy in-place keeps equal to the generation.',
  });
  replica = Option.String('--replica', { description: "This pod's name (default: the host's)." });
  platformFile = Option.String('--platform-file', {
    description: "The file with this image's platform version (default: as the lock says).",
  });
  repair = Option.Boolean('--repair', false, {
    description: 'Move aside what is damaged in the root and rebuild it, then go on.',
  });
  allowRewind = Option.Boolean('--allow-rewind', false, {
    description: 'Follow a branch that was rewritten.',
  });
  allowedSigners = Option.String('--allowed-signers', {
    description: 'Whose SSH keys may sign commits, as git has it (RINGLOCK_ALLOWED_SIGNERS_FILE).',
  });
  gpgKeys = Option.String('--gpg-keys', {
    description: 'OpenPGP keys that may sign commits: a file or a directory (RINGLOCK_GPG_KEYS).',
  });
  revokedKeys = Option.String('--revoked-keys', {
    description: 'Keys or fingerprints that may not sign any more (RINGLOCK_REVOKED_KEYS_FILE).',
  });
  trustCommit = Option.Array('--trust-commit', [], {
    description: 'Let a commit pass without a good signature; its full id.',
  });
  adopt = Option.Boolean('--adopt', false, {
    description: 'Take over a root of another ring, repository or branch.',
  });
  idleTimeout = Option.String('--idle-timeout', '30s', {
    description: 'Give up a connection on which nothing comes for so long (30s).',
  });
  maxFetch = Option.String('--max-fetch', '1GiB', {
    description: 'The most bytes that one fetch takes from the git server (1GiB).',
  });
  maxFile = Option.String('--max-file', '64MiB', {
    description: 'The largest file that a module may have; it is held in memory whole (64MiB).',
  });
  maxModule = Option.String('--max-module', '1GiB', {
    description: 'The most bytes that one module may have (1GiB).',
  });
  maxInstall = Option.String('--max-install', '8GiB', {
    description: 'The most bytes that one commit may install anew (8GiB).',
  });
  contentCheck = Option.String('--content-check', '10m', {
    description: 'How often every byte on disk is compared with its digest (10m).',
  });
  keepGenerations = Option.String('--keep-generations', '10', {
    description: 'How many generations to keep, the current one among them (10).',
    validator: t.cascade(t.isNumber(), [t.isInteger(), t.isAtLeast(1)]),
  });
  retainFor = Option.String('--retain-for', '24h', {
    description: 'How long any generation is kept after it was switched out (24h).',
  });

  healthUrl = Option.String('--health-url', { description: 'Asked after a switch.' });
  notifyUrl = Option.String('--notify-url', { description: 'POSTed to after a switch.' });
  notifyCommand = Option.String('--notify-command', {
    description: 'Run after a switch: an executable, or a JSON array of it and its arguments.',
  });
  migrationsUrl = Option.String('--migrations-database-url', {
    description: "The application's PostgreSQL (default: MIGRATIONS_DATABASE_URL).",
  });
  skipMigrations = Option.Boolean('--skip-migrations', false, {
    description: "Leave the application's schema alone, up and down.",
  });
  replicas = Option.String('--replicas', '1', {
    description: 'How many replicas the ring has; more than one need a database (1).',
    validator: t.cascade(t.isNumber(), [t.isInteger(), t.isAtLeast(1)]),
  });
  ringState = Option.String('--ring-state', {
    description: 'A directory that replicas on one host share instead of a database.',
  });
  databaseGrace = Option.String('--database-grace', '60s', {
    description: 'How long a plan without migrations waits for a database that is away (60s).',
  });
  webhookUrls = Option.Array('--webhook-url', [], {
    description: 'POSTed to, signed, when the ring changes or fails; may be given several times.',
  });
  commitStatus = Option.String('--commit-status', {
    description: 'gitlab, github or gitea: give each commit a status for the ring.',
  });
  commitStatusUrl = Option.String('--commit-status-url', {
    description: "The project's API URL, when --repo does not say it.",
  });
  pollOnly = Option.Boolean('--poll-only', false, {
    description: 'Keep no connection that hears what other replicas announce.',
  });
  logFormat = Option.String('--log-format', {
    description: 'text (default), or json: one document a line (default with --json).',
  });
  logLevel = Option.String('--log-level', {
    description: 'debug, info, warn or error (default: RINGLOCK_LOG_LEVEL, else info).',
  });

  async run(): Promise<number> {
    await registerEnvironment(process.env);
    const { databaseUrl, migrationsUrl, healthUrl, notifyUrl } = this;
    const urls = [...this.repo, databaseUrl, migrationsUrl, healthUrl, notifyUrl];
    for (const url of urls) registerUrl(url);
    const options = this.#options();
    const fields = {
      ring: options.ring ?? process.env['RING_NAME'],
      replica: options.replica ?? hostname(),
    };
    const { stderr } = this.context;
    const log = openLog(stderr, fields, {
      format: this.logFormat ?? (this.json ? 'json' : undefined),
      level: this.logLevel,
      environment: process.env,
    });
    const warning = becomeReaper();
    if (warning !== undefined && this.watch) log.warn(warning);
    let repairs: readonly Repair[] | undefined;
    const onRepaired = this.repair
      ? (done: readonly Repair[]) => {
          repairs = done;
          for (const line of repairLines(done)) this.say(line);
        }
      : undefined;
    const status = await runReconciler({ ...options, onRepaired }, log);
    this.say(summary(status));
    this.answer(repairs === undefined ? status : { ...status, repairs });
    return exitCodeOf(options.mode, status);
  }

  #options(): Omit<RunOptions, 'onRepaired'> {
    return {
      mode: this.#mode(),
      repositories: this.repo,
      caFile: this.caFile,
      ring: this.ring,
      root: this.root,
      workingDirectory: this.cwd,
      branch: this.branch,
      intervalMs: parseDuration(this.interval, '--interval'),
      initIntervalMs: parseDuration(this.initInterval, '--init-interval'),
      maxFailures: this.maxFailures,
      timeoutMs: parseDuration(this.timeout, '--timeout'),
      databaseUrl: this.databaseUrl,
      listen: this.listen,
      seed: this.seed,
      link: this.link,
      strategy: this.strategy,
      modulesDirectory: this.modulesDir,
      replica: this.replica,
      platformFile: this.platformFile,
      allowRewind: this.allowRewind,
      sshKey: this.sshKey,
      knownHosts: this.knownHosts,
      allowedSigners: this.allowedSigners,
      gpgKeys: this.gpgKeys,
      revokedKeys: this.revokedKeys,
      trustCommits: this.trustCommit,
      adopt: this.adopt,
      idleTimeoutMs: parseDuration(this.idleTimeout, '--idle-timeout'),
      limits: {
        fetch: parseByteSize(this.maxFetch, '--max-fetch'),
        file: parseByteSize(this.maxFile, '--max-file'),
        module: parseByteSize(this.maxModule, '--max-module'),
        install: parseByteSize(this.maxInstall, '--max-install'),
      },
      contentCheckMs: parseDuration(this.contentCheck, '--content-check'),
      migrationsUrl: this.migrationsUrl,
      skipMigrations: this.skipMigrations,
      healthUrl: this.healthUrl,
      notifyUrl: this.notifyUrl,
      notifyCommand: this.notifyCommand,
      webhookUrls: this.webhookUrls,
      commitStatus: this.commitStatus,
      commitStatusUrl: this.commitStatusUrl,
      replicas: this.replicas,
      ringState: this.ringState,
      databaseGraceMs: parseDuration(this.databaseGrace, '--database-grace'),
      listenToDatabase: !this.pollOnly,
      keepGenerations: this.keepGenerations,
      retainForMs: parseDuration(this.retainFor, '--retain-for'),
      environment: process.env,
      version,
    };
  }

  #mode(): ReconcileMode {
    const given = (['once', 'init', 'watch'] as const).filter((mode) => this[mode]);
    const [mode] = given;
    if (mode !== undefined && given.length === 1) return mode;
    throw badInput(
      'mode-not-given',
      given.length === 0
        ? 'how to run was not given'
        : `${given.map((name) => `--${name}`).join(' and ')} contradict each other`,
      { hint: 'Give one of --once, --init and --watch.' },
    );
  }
}

function summary({ ring, state, converged_commit, generation, last_error }: RootStatus): string {
  const where = generation === null ? 'nothing serves' : `generation ${generation} serves`;
  const commit = converged_commit === null ? '' : ` at ${converged_commit.slice(0, 12)}`;
  const reason = last_error === null ? '' : `: ${last_error.message}`;
  const hint = last_error?.hint === undefined ? '' : `\n  ${last_error.hint}`;
  return `${ring} is ${state}${commit}, ${where}${reason}${hint}`;
}

function repairLines(repairs: readonly Repair[]): string[] {
  if (repairs.length === 0) return ['nothing to repair'];
  return repairs.map(({ path, found, did, moved_to }) => {
    const where = moved_to === null ? '' : ` (${moved_to})`;
    return `repaired ${path}: ${found}; ${did}${where}`;
  });
}
