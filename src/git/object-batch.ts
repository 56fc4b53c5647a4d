import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { environmentFailed, RinglockError } from '../errors.ts';
import { type GitRepository, gitEnvironment, gitMissing } from './git-command.ts';
import type { ObjectReader, TreeEntry } from './object-store.ts';
import { parseTree } from './parse-object.ts';

export interface ObjectHeader {
  readonly oid: string;
  readonly type: 'blob' | 'tree' | 'commit' | 'tag';
  /** Bytes of the content. */
  readonly size: number;
}

export interface GitObject extends ObjectHeader {
  readonly content: Buffer;
}

interface Request {
  readonly spec: string;
  readonly onChunk: (chunk: Buffer, header: ObjectHeader) => void;
  readonly settle: (header: ObjectHeader) => void;
  readonly fail: (error: RinglockError) => void;
}

/**
 * Reads any number of objects through one `git cat-file --batch`. Requests are pipelined, answered
 * in order, and streamed: memory is bounded by what callers keep. Whoever opens one closes it.
 */
export class ObjectBatch implements Pick<ObjectReader, 'readTree' | 'readBlob'> {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: Request[] = [];
  #next = 0;
  #unsent = '';
  #headerText = '';
  #header: ObjectHeader | undefined;
  #left = 0;
  #stderr = '';
  #ended: RinglockError | undefined;
  readonly #closed: Promise<void>;

  /**
   * @param options.buffered git answers when it likes, at the latest after close(): a third of the
   *   time for thousands of small objects, and only for whoever asks for all before awaiting any
   */
  constructor(repository: GitRepository, options: { readonly buffered?: boolean } = {}) {
    const args = ['cat-file', '--batch', ...(options.buffered === true ? ['--buffer'] : [])];
    this.#child = spawn('git', args, {
      cwd: repository.topLevel,
      env: gitEnvironment(),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdout.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk));
    this.#child.stdin.on('error', () => {});
    this.#closed = new Promise((settle) => {
      this.#child.on('error', (error) => {
        this.#end(gitMissing(repository.topLevel, error));
        settle();
      });
      this.#child.on('close', () => {
        const reason = this.#stderr.trim() || 'it ended early';
        this.#end(environmentFailed('git-failed', `git cat-file failed: ${reason}`));
        settle();
      });
    });
  }

  /**
   * Streams an object's content in chunks, which are only valid during the call.
   *
   * @param spec an object id, or any revision that names an object
   * @throws RinglockError `object-missing`, `git-failed`
   */
  stream(
    spec: string,
    onChunk: (chunk: Buffer, header: ObjectHeader) => void,
  ): Promise<ObjectHeader> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (spec.includes('\n')) return Promise.reject(missing(JSON.stringify(spec)));
    return new Promise((settle, fail) => {
      this.#waiting.push({ spec, onChunk, settle, fail });
      this.#send(spec);
    });
  }

  /** One write for all that is asked for in a row: ten thousand small ones cost more than the objects. */
  #send(spec: string): void {
    if (this.#unsent === '') queueMicrotask(() => this.#flush());
    this.#unsent += `${spec}\n`;
  }

  #flush(): void {
    const text = this.#unsent;
    this.#unsent = '';
    if (text !== '') this.#child.stdin.write(text);
  }

  /** The whole object. @throws RinglockError `object-missing`, `git-failed` */
  async read(spec: string): Promise<GitObject> {
    const chunks: Buffer[] = [];
    const header = await this.stream(spec, (chunk) => chunks.push(chunk));
    return { ...header, content: Buffer.concat(chunks) };
  }

  async readBlob(oid: string): Promise<Buffer> {
    return (await this.#readTyped(oid, 'blob')).content;
  }

  async readTree(oid: string): Promise<readonly TreeEntry[]> {
    const { content, oid: id } = await this.#readTyped(oid, 'tree');
    return parseTree(id, content, id.length / 2);
  }

  /** Lets git end; objects asked for before are still delivered. */
  async close(): Promise<void> {
    this.#flush();
    this.#child.stdin.end();
    await this.#closed;
  }

  async #readTyped(spec: string, type: ObjectHeader['type']): Promise<GitObject> {
    const object = await this.read(spec);
    if (object.type === type) return object;
    throw environmentFailed('object-missing', `${spec} is a ${object.type}, expected a ${type}`);
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#header === undefined) {
        const end = chunk.indexOf(0x0a, at);
        this.#headerText += chunk.toString('utf8', at, end === -1 ? chunk.length : end);
        if (end === -1) return;
        at = end + 1;
        this.#startObject();
      } else {
        const length = Math.min(this.#left, chunk.length - at);
        // Each content is followed by one newline, which is counted but not delivered.
        const content = Math.min(length, this.#left - 1);
        if (content > 0) {
          this.#waiting[this.#next]?.onChunk(chunk.subarray(at, at + content), this.#header);
        }
        at += length;
        this.#left -= length;
        if (this.#left > 0) return;
        const header = this.#header;
        this.#header = undefined;
        this.#finish()?.settle(header);
      }
    }
  }

  #startObject(): void {
    const [oid = '', type = '', size] = this.#headerText.split(' ');
    this.#headerText = '';
    if (size !== undefined && /^\d+$/.test(size)) {
      this.#header = { oid, type: type as ObjectHeader['type'], size: Number(size) };
      this.#left = this.#header.size + 1;
      return;
    }
    const request = this.#finish();
    request?.fail(missing(request.spec));
  }

  #finish(): Request | undefined {
    const request = this.#waiting[this.#next];
    this.#next += 1;
    if (this.#next === this.#waiting.length || this.#next > 4096) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    return request;
  }

  #end(error: RinglockError): void {
    this.#ended = error;
    for (const request of this.#waiting.splice(this.#next)) request.fail(error);
  }
}

/** Runs with an ObjectBatch, and closes it. */
export async function withObjects<T>(
  repository: GitRepository,
  use: (objects: ObjectBatch) => Promise<T>,
): Promise<T> {
  const objects = new ObjectBatch(repository);
  try {
    return await use(objects);
  } finally {
    await objects.close();
  }
}

/** Whether an error says that an object is not in the repository. */
export function isObjectMissing(error: unknown): error is RinglockError {
  return error instanceof RinglockError && error.code === 'object-missing';
}

function missing(spec: string): RinglockError {
  return environmentFailed('object-missing', `git object ${spec} is not in this repository`, {
    hint: 'Fetch it: git fetch --all --tags.',
  });
}
