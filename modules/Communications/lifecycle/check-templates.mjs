// Before the version goes live: every template may use only values that messages have.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const known = new Set(['id', 'total', 'carrier', 'customer.name']);
const { sourcePath } = JSON.parse(readFileSync(0, 'utf8'));
const { neededValues } = await import(pathToFileURL(join(sourcePath, 'src/template.mjs')).href);
const directory = join(sourcePath, 'templates');

const files = readdirSync(directory);
for (const file of files) {
  const unknown = neededValues(readFileSync(join(directory, file), 'utf8')).filter(
    (path) => !known.has(path),
  );
  if (unknown.length === 0) continue;
  process.stderr.write(`${file} uses unknown values: ${unknown.join(', ')}\n`);
  process.exitCode = 1;
}
process.stdout.write(`${JSON.stringify({ templates: files.length })}\n`);
