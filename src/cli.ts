#!/usr/bin/env node
declare const __RINGLOCK_VERSION__: string | undefined;

/** The version of this program; `0.0.0-source` when it is run from its sources. */
const version = typeof __RINGLOCK_VERSION__ === 'string' ? __RINGLOCK_VERSION__ : '0.0.0-source';

const args = process.argv.slice(2);
if (args[0] === '--version' || args[0] === '-v') {
  // Answered before anything else is loaded.
  process.stdout.write(`${version}\n`);
} else {
  const { runCommandLine } = await import('./command-line.ts');
  process.exitCode = await runCommandLine(args, version);
}
