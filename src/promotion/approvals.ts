import { RinglockError, refused } from '../errors.ts';
import { type GitRepository, runGit } from '../git/git-command.ts';
import { isObjectMissing, type ObjectBatch, withObjects } from '../git/object-batch.ts';
import {
  literalNames,
  type TrustedKeys,
  verifyCommit,
  verifyTag,
} from '../git/signatures/commit-verifier.ts';
import { parseSignedCommit } from '../git/signatures/signed-commit.ts';
import { parseSignedTag } from '../git/signatures/signed-tag.ts';
import { redactLine } from '../redaction.ts';
import { approvalTagFolder, approvalTrailer, readApprovals } from '../repo/approval-text.ts';
import type { ApprovalFacts } from '../repo/gate-verdicts.ts';
import { parseLock } from '../repo/lock.ts';
import { lockFile } from '../repo/names.ts';

/** What has to be approved, by whom, and who may not do it alone. */
export interface ApprovalQuestion {
  readonly ring: string;
  readonly alias: string;
  readonly version: string;
  readonly sha256: string;
  /** The ring that it comes from: its lock says what is meant where an approval names no bytes. */
  readonly source: string;
  readonly approvers: readonly string[];
  /** Addresses of those who promote. */
  readonly authors: readonly string[];
  /** Where tags stand: `refs/tags`, or where they were fetched to. */
  readonly tags: string;
  /** Revisions whose history may have approvals. */
  readonly revisions: readonly string[];
}

/** As many tags and commits are looked at: whoever can push could else have every check take hours. */
const mostLookedAt = 200;

/**
 * The approvals of a version: signed tags below `approve/<ring>/<alias>@<version>`, and signed commits with
 * such a trailer, by keys of this machine. Each approver and each key counts once.
 */
export async function findApprovals(
  repository: GitRepository,
  question: ApprovalQuestion,
  keys: TrustedKeys,
  now: Date,
): Promise<ApprovalFacts> {
  return withObjects(repository, async (objects) => {
    const found = [
      ...(await tagsOf(repository, question)).map((tag) => ({ ...tag, kind: 'tag' as const })),
      ...(await commitsOf(repository, question)).map((commit) => ({
        ...commit,
        kind: 'commit' as const,
      })),
    ];
    const by: { approver: string; isAuthor: boolean }[] = [];
    const ignored: string[] = [];
    const usedKeys = new Set<string>();
    for (const { kind, oid, name } of found) {
      try {
        const signed = await readSigned(objects, kind, oid);
        await requireCovered(objects, signed, question);
        const signer = await signed.verify(keys, now);
        const names = literalNames(signer, keys, signed.signedAt, now);
        const approver = question.approvers.find((one) => names.includes(one));
        if (approver === undefined) throw notCounted(`${signer.principal} is no approver`);
        const isKnown = by.some((one) => one.approver === approver);
        if (isKnown || usedKeys.has(signer.fingerprint)) continue;
        usedKeys.add(signer.fingerprint);
        by.push({ approver, isAuthor: isOneOf(names, question.authors) });
      } catch (error) {
        if (!(error instanceof RinglockError)) throw error;
        // Of another version whose name begins the same.
        if (kind === 'commit' && error.code === 'approval-of-another') continue;
        ignored.push(`${kind} ${name} does not count: ${redactLine(error.message)}`);
      }
    }
    return { by, ignored };
  });
}

/** However an address is written: nobody becomes two people by capitals. */
function isOneOf(names: readonly string[], authors: readonly string[]): boolean {
  const known = new Set(authors.map((author) => author.toLowerCase()));
  return names.some((name) => known.has(name.toLowerCase()));
}

interface FoundApproval {
  readonly oid: string;
  /** For messages. */
  readonly name: string;
}

async function tagsOf(
  { topLevel }: GitRepository,
  { ring, alias, version, tags }: ApprovalQuestion,
): Promise<FoundApproval[]> {
  const listed = await runGit(topLevel, [
    'for-each-ref',
    `--count=${mostLookedAt}`,
    '--format=%(objectname) %(refname)',
    `${tags}/${approvalTagFolder(ring, alias, version)}`,
  ]);
  return listed
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [oid = '', ref = ''] = line.split(' ', 2);
      return { oid, name: ref.slice(tags.length + 1) };
    });
}

async function commitsOf(
  { topLevel }: GitRepository,
  { ring, alias, version, revisions }: ApprovalQuestion,
): Promise<FoundApproval[]> {
  if (revisions.length === 0) return [];
  const listed = await runGit(topLevel, [
    'rev-list',
    `--max-count=${mostLookedAt}`,
    '--fixed-strings',
    `--grep=${approvalTrailer}: ${ring} ${alias}@${version}`,
    ...revisions,
    '--',
  ]);
  return listed
    .split('\n')
    .filter(Boolean)
    .map((oid) => ({ oid, name: oid.slice(0, 12) }));
}

interface Signed {
  readonly message: string;
  /** The commit whose locks say what is meant. */
  readonly commit: string;
  readonly signedAt: number;
  readonly verify: (keys: TrustedKeys, now: Date) => ReturnType<typeof verifyCommit>;
}

async function readSigned(
  objects: ObjectBatch,
  kind: 'tag' | 'commit',
  oid: string,
): Promise<Signed> {
  const { content, type } = await objects.read(oid);
  if (kind === 'commit') {
    const { committer } = parseSignedCommit(content);
    const message = content.subarray(content.indexOf('\n\n') + 2).toString('utf8');
    return {
      ...{ message, commit: oid, signedAt: committer.time },
      verify: (keys, now) => verifyCommit(content, keys, now),
    };
  }
  if (type !== 'tag') throw notCounted('it is a lightweight tag, expected a signed one');
  const { message, object, tagger } = parseSignedTag(content);
  return {
    ...{ message, commit: object, signedAt: tagger.time },
    verify: (keys, now) => verifyTag(content, keys, now),
  };
}

/** An approval is of bytes: those that it names, or that the locks of its commit pin. */
async function requireCovered(
  objects: ObjectBatch,
  { message, commit }: Signed,
  { ring, alias, version, sha256, source }: ApprovalQuestion,
): Promise<void> {
  const said = readApprovals(message).filter(
    (one) => one.ring === ring && one.alias === alias && one.version === version,
  );
  if (said.length === 0) {
    const line = `${approvalTrailer}: ${ring} ${alias}@${version}`;
    throw refused('approval-of-another', `it has no line "${line}"`);
  }
  if (said.some((one) => one.sha256 === sha256)) return;
  const named = said.find((one) => one.sha256 !== undefined)?.sha256;
  if (named !== undefined) throw notCounted(`it approves the bytes ${named}, not ${sha256}`);
  for (const name of [source, ring]) {
    if (await pins(objects, commit, name, { alias, version, sha256 })) return;
  }
  throw notCounted(`it names no bytes, and its commit does not pin ${sha256}`);
}

async function pins(
  objects: ObjectBatch,
  commit: string,
  ring: string,
  pin: Pick<ApprovalQuestion, 'alias' | 'version' | 'sha256'>,
): Promise<boolean> {
  try {
    const text = (await objects.readBlob(`${commit}:${lockFile(ring)}`)).toString();
    const entry = parseLock(text, ring).modules.get(pin.alias);
    return entry?.version === pin.version && entry.sha256 === pin.sha256;
  } catch (error) {
    if (isObjectMissing(error) || error instanceof RinglockError) return false;
    throw error;
  }
}

function notCounted(why: string): RinglockError {
  return refused('approval-not-counted', why);
}
