/** What the replicas of a ring agree on (DESIGN section 6); read by `ensureSchema`. */
export const ringTables = `
create table ring_operations (
  id uuid primary key,
  ring text not null,
  commit text,
  target text not null,
  lock text not null,
  previous text,
  changes jsonb not null,
  is_return boolean not null default false,
  state text not null,
  reason text,
  members text[] not null,
  policy jsonb not null,
  leader text not null,
  created_at timestamptz not null default now(),
  decided_at timestamptz,
  finished_at timestamptz
);
create unique index ring_operations_one_open on ring_operations (ring)
  where state in ('rolling', 'reverting');
create index ring_operations_recent on ring_operations (ring, created_at desc);

create table ring_replicas (
  ring text not null,
  replica text not null,
  operation_id uuid,
  state text not null,
  reason text,
  seen_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  primary key (ring, replica)
);

create table ring_steps (
  operation_id uuid not null references ring_operations (id) on delete cascade,
  key text not null,
  attempt integer not null,
  state text not null,
  replica text not null,
  idempotent boolean not null,
  detail text,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (operation_id, key, attempt)
);

create table ring_memory (
  ring text not null,
  kind text not null,
  key text not null,
  value jsonb,
  at timestamptz not null,
  primary key (ring, kind, key)
);
`;
