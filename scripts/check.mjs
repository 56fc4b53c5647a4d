#!/usr/bin/env node
// npm run check: types, formatting and lint, unused code, import rules; all of them, then the verdict.
import { spawn } from 'node:child_process';

const checks = [
  ['types', 'tsc', ['-p', 'tsconfig.json']],
  ['format and lint', 'biome', ['check', '--error-on-warnings', '.']],
  ['unused code', 'knip', ['--no-config-hints']],
  ['import rules', 'depcruise', ['src', '--config', '.dependency-cruiser.cjs']],
];

const run = ([name, binary, args]) =>
  new Promise((resolve) => {
    const child = spawn(`node_modules/.bin/${binary}`, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('close', (code) => resolve({ name, output, ok: code === 0 }));
  });

const results = await Promise.all(checks.map(run));
for (const { name, output, ok } of results) {
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}`);
  if (!ok) console.log(output);
}
process.exitCode = results.every(({ ok }) => ok) ? 0 : 1;
