#!/usr/bin/env node
// Writes the library's declarations beside the bundle, before packing.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

execFileSync('node_modules/.bin/tsc', ['-p', 'tsconfig.types.json'], { stdio: 'inherit' });
for (const name of readdirSync('dist', { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.d.ts')) continue;
  const file = join('dist', name);
  // tsc rewrites the extensions of imports in JavaScript, but not in declarations.
  const text = readFileSync(file, 'utf8').replace(
    /(from\s+|import\()(['"]\..*?)\.ts(?=['"])/g,
    '$1$2.js',
  );
  writeFileSync(file, text);
}
