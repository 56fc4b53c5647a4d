/**
 * Events that a root chained a second time, after a repair or a loss, as they stand in its new chain;
 * `audit_events` keeps them as they came first. Read by `ensureSchema`.
 */
export const rechainedTables = `
create table audit_rechained (
  copy bigint generated always as identity,
  like audit_events including defaults,
  primary key (root, hash)
);
create index audit_rechained_chain on audit_rechained (root, sequence);
create index audit_rechained_id on audit_rechained (id, copy);
`;
