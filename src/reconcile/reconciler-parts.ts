import type { AuditLog } from '../audit/audit-log.ts';
import type { Outbox } from '../audit/outbox.ts';
import type { ObjectDatabase } from '../git/object-database.ts';
import type { FollowedRepository } from '../git/remote.ts';
import type { Settings } from '../repo/settings.ts';
import type { ModuleSource } from '../source/module-source.ts';
import type { Root } from '../store/root.ts';
import type { ApplicationOptions } from './application.ts';
import type { Attempt } from './attempt.ts';
import type { Log } from './log.ts';
import type { RingMembership } from './ring/ring-membership.ts';
import type { SigningOptions } from './signed-history.ts';
import type { StatusKeeper } from './status-keeper.ts';
import type { Tally } from './tally.ts';

export interface ReconcilerSettings {
  readonly ring: string;
  readonly replica: string;
  readonly branch: string;
  /** Goes to a commit that does not descend from the last one. */
  readonly allowRewind: boolean;
  /** Who may deploy; undefined asks for no signatures. */
  readonly signing: SigningOptions | undefined;
  /** Takes over a root of another ring, and goes on from another repository or branch. */
  readonly adopt: boolean;
  /** The platform this image really is; undefined takes the lock's word. */
  readonly platform: string | undefined;
  /** How often every byte on disk is compared with its digest. */
  readonly contentCheckMs: number;
  /** Leaves the schema of the application's database alone. */
  readonly skipMigrations: boolean;
  readonly application: ApplicationOptions;
}

/** What a reconciler works with; opened and closed by its owner. */
export interface ReconcilerParts {
  readonly root: Root;
  readonly database: ObjectDatabase;
  readonly remote: FollowedRepository;
  /** @param have trees that are replaced: a new version need not bring again what it shares with them */
  readonly sourcesFor: (settings: Settings, have: readonly string[]) => readonly ModuleSource[];
  readonly audit: AuditLog;
  readonly outbox: Outbox;
  readonly status: StatusKeeper;
  readonly membership: RingMembership;
  readonly attempt: Attempt;
  /** The application's database for migrations; undefined where the pod has none. */
  readonly migrationsUrl: () => Promise<string | undefined>;
  /** Until the branch should be looked at again; undefined when one pass is all there is. */
  readonly nextLook: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly log: Log;
  readonly tally: Tally;
  readonly now: () => Date;
}
