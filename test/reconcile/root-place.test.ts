import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cliPath, runCli } from '../support/cli.ts';
import { deploy, filesLockedAt, filesServed, release } from '../support/deploy.ts';
import { createPlatform } from '../support/platform.ts';
import { gitEnvironment } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary.ts';

describe('the place of a root', { concurrency: 2 }, () => {
  it('may be in a repository, behind a link, of any name, and another user reads it whatever the umask', async (t) => {
    const platform = createPlatform(t, { rings: ['canary'] });
    const around = createPlatform(t, { rings: ['canary'] }).path;
    chmodSync(around, 0o755);
    mkdirSync(join(around, 'behind'), { mode: 0o755 });
    symlinkSync('behind', join(around, 'link'));
    const root = join(around, 'link', 'Wurzel "für"\n$(canary) 🌱', "o'root");
    const reconcile = () => {
      const args = ['--once', '--repo', platform.path, '--root', root, '--ring', 'canary'];
      const command = [process.execPath, cliPath, 'reconcile', ...args];
      const shell = ['-c', 'umask 077; exec "$@"', 'sh', ...command];
      const { status, stderr } = spawnSync('sh', shell, { env: gitEnvironment, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      assert.deepEqual(filesServed(root), filesLockedAt(platform, 'HEAD', 'canary'));
    };
    reconcile();
    release(platform, 'Orders', '1.0.1');
    deploy(platform, 'Orders 1.0.1');
    reconcile();
    for (const name of ['.', '..', 'journal.jsonl', 'status.json', 'root.json', 'current']) {
      const mode = statSync(join(root, name)).mode & 0o777;
      assert.equal(mode & 0o444, 0o444, `${name} has the mode ${mode.toString(8)}`);
    }
    if (process.getuid?.() !== 0) {
      t.diagnostic('not the superuser: nobody else can be asked to read');
      return;
    }
    const nobody = { uid: 65_534, gid: 65_534, encoding: 'utf8' } as const;
    const files = spawnSync(
      'find',
      ['-L', join(root, 'current'), '-type', 'f', '-exec', 'cat', '{}', '+'],
      nobody,
    );
    assert.equal(files.status, 0, files.stderr);
    assert.match(files.stdout, /as of 1\.0\.1/);
    assert.equal(spawnSync('cat', [join(root, 'status.json')], nobody).status, 0);
  });

  it('is not the top of the file system, a repository itself, or a file', async (t) => {
    const place = temporaryDirectory(t, 'place');
    const { path } = createPlatform(t, { rings: ['canary'] });
    writeFileSync(join(place, 'file'), 'mine\n');
    const refused = [
      { root: '/', says: /\/ is the top of the file system/ },
      { root: path, says: /is a git repository, expected a directory of ringlock's own/ },
      { root: join(path, '.git'), says: /is a git repository/ },
      { root: join(place, 'file'), says: /is not a directory/ },
    ];
    for (const { root, says } of refused) {
      const args = ['reconcile', '--once', '--repo', path, '--root', root, '--ring', 'canary'];
      const { code, stderr } = await runCli(place, args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
      assert.ok(!existsSync(join(root, 'generations')), `${root} was written to`);
    }
  });
});
