// Loaded into the built program with --import: makes chosen calls of node:fs/promises, and of file
// handles, fail as a full or broken disk makes them fail.
import fs, { writeFileSync } from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Readable } from 'node:stream';

const {
  code,
  matching = '.',
  from,
  count = Number.POSITIVE_INFINITY,
} = JSON.parse(process.env['RINGLOCK_TEST_FAULT']);
const pattern = new RegExp(matching);
const countFile = process.env['RINGLOCK_TEST_FAULT_COUNT'];
// The child that writes audit.sqlite is another process, with calls of its own.
delete process.env['NODE_OPTIONS'];
let calls = 0;

function failure(operation, path) {
  if (!pattern.test(`${operation} ${path}`)) return undefined;
  calls += 1;
  if (countFile !== undefined) writeFileSync(countFile, String(calls));
  if (calls < from || calls >= from + count) return undefined;
  const error = new Error(`${code}: made to fail, ${operation} '${path}'`);
  return Object.assign(error, { code, syscall: operation, path });
}

const paths = new WeakMap();
const open = promises.open;
promises.open = async (path, flags, ...rest) => {
  const error = /[wa+]/.test(String(flags ?? 'r')) && failure('open', path);
  if (error) throw error;
  const handle = await open(path, flags, ...rest);
  paths.set(handle, String(path));
  return handle;
};
for (const operation of ['mkdir', 'rename', 'symlink', 'chmod', 'rm', 'truncate', 'writeFile']) {
  const original = promises[operation];
  promises[operation] = async (...args) => {
    const error = failure(operation, args[operation === 'rename' ? 1 : 0]);
    if (error) throw error;
    return original(...args);
  };
}
const sample = await open(new URL(import.meta.url), 'r');
const prototype = Object.getPrototypeOf(sample);
await sample.close();
for (const operation of ['writeFile', 'appendFile', 'sync', 'datasync', 'truncate', 'chmod']) {
  const original = prototype[operation];
  prototype[operation] = async function (...args) {
    const error = failure(operation, paths.get(this) ?? '');
    if (error) throw error;
    return original.apply(this, args);
  };
}
const createReadStream = fs.createReadStream;
fs.createReadStream = (path, ...rest) => {
  if (!pattern.test(`read ${path}`) || matching === '.') return createReadStream(path, ...rest);
  const error = failure('read', path);
  return error
    ? new Readable({ read: () => {}, construct: (done) => done(error) })
    : createReadStream(path, ...rest);
};
// Only where it is asked for by name: a pass lists many directories that it could do without.
if (matching.startsWith('readdir ')) {
  const { readdir } = promises;
  promises.readdir = async (path, ...rest) => {
    const error = failure('readdir', path);
    if (error) throw error;
    return readdir(path, ...rest);
  };
}
syncBuiltinESMExports();
