#!/usr/bin/env node
import { version } from './version.ts';

const args = process.argv.slice(2);
if (args[0] === '--version' || args[0] === '-v') {
  // Answered before anything else is loaded.
  process.stdout.write(`${version}\n`);
} else {
  const { runCommandLine } = await import('./command-line.ts');
  process.exitCode = await runCommandLine(args, version);
}
