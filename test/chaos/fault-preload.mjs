// node --import fault-preload.mjs PROGRAM: counts every step that the program takes on a root's disk
// or on the network, and lets one of them fail or be the last. In the environment:
//   CHAOS_ROOT   only paths below it count
//   CHAOS_LOG    one line a step is appended: "<number of its class> <class> <operation> <target>"
//   CHAOS_FAULT  {"of": class, "at": number, "how": throw|kill|kill-during|kill-torn, "spinUs": n,
//                "matching": only steps count whose "<operation> <target>" this regular expression matches}
// Classes: effect (the disk is changed), network (a connection, a write to one), step (both together,
// counted as one sequence) and read.
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const { openSync, writeSync, writeFileSync } = fs;
const root = process.env['CHAOS_ROOT'];
const fault = JSON.parse(process.env['CHAOS_FAULT'] ?? 'null');
const log = openSync(process.env['CHAOS_LOG'] ?? '/dev/null', 'a');

const pattern = fault?.matching === undefined ? undefined : new RegExp(fault.matching);
const counts = { effect: 0, network: 0, step: 0, read: 0 };
let matches = 0;
/** FileHandle or descriptor → path below the root. */
const handlePaths = new WeakMap();
const descriptorPaths = new Map();

/** Counts a step; says what is to become of it. */
function take(kind, operation, target) {
  counts[kind] += 1;
  if (kind !== 'read') counts.step += 1;
  writeSync(log, `${counts[kind]} ${kind} ${operation} ${target}\n`);
  if (fault === null || !(fault.of === kind || (fault.of === 'step' && kind !== 'read'))) {
    return 'go on';
  }
  if (pattern?.test(`${operation} ${target}`)) matches += 1;
  else if (pattern !== undefined) return 'go on';
  if ((pattern === undefined ? counts[fault.of] : matches) !== fault.at) return 'go on';
  writeSync(log, `! ${kind} ${operation} ${target}\n`);
  if (fault.how === 'kill') die();
  return fault.how;
}

function die() {
  process.kill(process.pid, 'SIGKILL');
}

/** Lets an operation that was just started get as far as it may. */
function dieSoon() {
  const until = performance.now() + (fault.spinUs ?? 0) / 1000;
  while (performance.now() < until);
  die();
}

function plantedError(operation, path) {
  const message = `EIO: i/o error (planted), ${operation} '${path}'`;
  return Object.assign(new Error(message), { code: 'EIO', errno: -5, syscall: operation, path });
}

function pathBelowRoot(given) {
  if (root === undefined) return undefined;
  if (given instanceof URL) return pathBelowRoot(fileURLToPath(given));
  if (Buffer.isBuffer(given)) return pathBelowRoot(given.toString());
  if (typeof given === 'number') return descriptorPaths.get(given);
  if (typeof given === 'object' && given !== null) return handlePaths.get(given);
  if (typeof given !== 'string') return undefined;
  const path = resolve(given);
  return path === root || path.startsWith(root + sep) ? path : undefined;
}

const opensForReading = (flags) =>
  typeof flags === 'number' ? (flags & 3) === 0 : (flags ?? 'r') === 'r' || flags === 'rs';

/** Of two paths the one that is made or replaced. */
const lastPathNames = new Set(['rename', 'link', 'symlink', 'copyFile', 'cp']);
const effectNames = new Set(
  `mkdir rmdir rm unlink rename symlink link copyFile cp chmod lchmod chown lchown utimes lutimes
   writeFile appendFile truncate mkdtemp write writev sync datasync fsync fdatasync ftruncate fchmod
   fchown futimes`.split(/\s+/),
);
const readNames = new Set(
  `readFile readdir stat lstat fstat readlink access realpath opendir read readv statfs exists`.split(
    ' ',
  ),
);

function describe(name, args) {
  const isEffect =
    name === 'open' ? !opensForReading(args[1]) : effectNames.has(name) && !readNames.has(name);
  const path = pathBelowRoot(lastPathNames.has(name) ? args[1] : args[0]);
  return { kind: isEffect ? 'effect' : 'read', path };
}

/** A write that a power loss or a full disk cuts in half. */
function tear(target, data) {
  if (typeof data !== 'string' && !ArrayBuffer.isView(data)) return;
  const bytes = Buffer.from(data);
  const half = bytes.subarray(0, Math.ceil(bytes.length / 2));
  if (typeof target === 'object' && 'fd' in target) writeSync(target.fd, half);
  else if (typeof target === 'number') writeSync(target, half);
  else writeFileSync(target, half, { flag: 'a' });
}

function run(original, self, name, args, path, kind, fail) {
  const what = take(kind, name, path.slice(root.length + 1) || '.');
  if (what === 'throw') return fail(plantedError(name, path));
  if (what === 'kill-torn') {
    if (/^(write|append)/.test(name)) tear(self ?? args[0], self ? args[0] : args[1]);
    die();
  }
  const result = Reflect.apply(original, self ?? undefined, args);
  if (what === 'kill-during') dieSoon();
  return result;
}

function wrapPromise(name) {
  const original = fsp[name];
  fsp[name] = async (...args) => {
    const { kind, path } = describe(name, args);
    const fail = (error) => Promise.reject(error);
    const result =
      path === undefined
        ? await original(...args)
        : await run(original, undefined, name, args, path, kind, fail);
    if (name === 'open' && path !== undefined) handlePaths.set(result, path);
    return result;
  };
}

function wrapSync(name) {
  const plain = name.slice(0, -'Sync'.length);
  const original = fs[name];
  fs[name] = (...args) => {
    const { kind, path } = describe(plain, args);
    if (path === undefined) return original(...args);
    const result = run(original, undefined, plain, args, path, kind, (error) => {
      throw error;
    });
    if (plain === 'open') descriptorPaths.set(result, path);
    return result;
  };
}

function wrapCallback(name) {
  const original = fs[name];
  const wrapped = (...args) => {
    const { kind, path } = describe(name, args);
    const done = args.at(-1);
    if (path === undefined || typeof done !== 'function') return original(...args);
    if (name === 'open') {
      args[args.length - 1] = (error, descriptor) => {
        if (!error) descriptorPaths.set(descriptor, path);
        done(error, descriptor);
      };
    }
    return run(original, undefined, name, args, path, kind, (error) =>
      process.nextTick(done, error),
    );
  };
  // promisify() of read and write looks for the names of their two results.
  for (const key of Reflect.ownKeys(original)) {
    if (typeof key === 'symbol') Object.defineProperty(wrapped, key, { value: original[key] });
  }
  if (name !== 'realpath') fs[name] = wrapped;
}

async function wrapFileHandles() {
  const handle = await fsp.open('/dev/null', 'r');
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (!effectNames.has(name) && !readNames.has(name)) continue;
    const original = prototype[name];
    prototype[name] = function (...args) {
      const path = handlePaths.get(this);
      if (path === undefined) return original.apply(this, args);
      const kind = effectNames.has(name) ? 'effect' : 'read';
      return run(original, this, name, args, path, kind, (error) => Promise.reject(error));
    };
  }
}

function wrapSockets() {
  const { connect, write } = net.Socket.prototype;
  /** Sockets that this program opened, by where they lead; its standard streams are none. */
  const peers = new WeakMap();
  const broken = () =>
    Object.assign(new Error('read ECONNRESET (planted)'), { code: 'ECONNRESET' });
  net.Socket.prototype.connect = function (...args) {
    const [first] = Array.isArray(args[0]) ? args[0] : args;
    const port = typeof first === 'object' ? first?.port : first;
    if (port === undefined) return connect.apply(this, args);
    peers.set(this, String(port));
    const what = take('network', 'connect', String(port));
    if (what === 'throw') {
      process.nextTick(() => this.destroy(broken()));
      return this;
    }
    const result = connect.apply(this, args);
    if (what !== 'go on') dieSoon();
    return result;
  };
  net.Socket.prototype.write = function (...args) {
    const peer = peers.get(this);
    if (peer === undefined) return write.apply(this, args);
    const what = take('network', 'write', peer);
    if (what === 'throw') {
      this.destroy(broken());
      return false;
    }
    const result = write.apply(this, args);
    if (what !== 'go on') dieSoon();
    return result;
  };
}

for (const name of [...effectNames, ...readNames, 'open']) {
  if (typeof fsp[name] === 'function') wrapPromise(name);
  if (typeof fs[name] === 'function') wrapCallback(name);
  if (typeof fs[`${name}Sync`] === 'function') wrapSync(`${name}Sync`);
}
const { close } = fs;
const { closeSync } = fs;
fs.close = (descriptor, ...rest) => {
  descriptorPaths.delete(descriptor);
  return close(descriptor, ...rest);
};
fs.closeSync = (descriptor) => {
  descriptorPaths.delete(descriptor);
  return closeSync(descriptor);
};
await wrapFileHandles();
wrapSockets();
syncBuiltinESMExports();
