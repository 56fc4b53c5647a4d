import { isAlias } from './names.ts';

/** What an approval says that it approves. */
export interface ApprovalText {
  readonly ring: string;
  readonly alias: string;
  readonly version: string;
  /** `sha256:<hex>`; undefined where the line names no bytes. */
  readonly sha256: string | undefined;
}

export const approvalTrailer = 'Approve';

/** The line that a tag's or commit's message has. */
export function approvalLine({ ring, alias, version, sha256 }: ApprovalText): string {
  const bytes = sha256 === undefined ? '' : ` ${sha256}`;
  return `${approvalTrailer}: ${ring} ${alias}@${version}${bytes}`;
}

/** Every approval in a message: whole lines, as trailers stand. What is not exactly one is none. */
export function readApprovals(message: string): ApprovalText[] {
  return message.split('\n').flatMap((line) => {
    const match = /^Approve: (\S+) ([^\s@]+)@(\S+)(?: (sha256:[0-9a-f]{64}))?$/.exec(line);
    const [, ring = '', alias = '', version = '', sha256] = match ?? [];
    return isAlias(ring) && isAlias(alias) ? [{ ring, alias, version, sha256 }] : [];
  });
}

/** Where the tags of approvals of a version for a ring stand, below `refs/tags/`. */
export function approvalTagFolder(ring: string, alias: string, version: string): string {
  return `approve/${ring}/${alias}@${version}`;
}

/** A tag of one's own, so that several people can approve: the address made a part of a ref's name. */
export function approvalTag(ring: string, alias: string, version: string, email: string): string {
  const who = email
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return `${approvalTagFolder(ring, alias, version)}/${who || 'someone'}`;
}
