/** The tables of DESIGN section 7; read by `ensureSchema`, which also takes their names from here. */
export const firstTables = `
create table modules (
  alias text primary key,
  created_at timestamptz not null default now()
);

create table module_versions (
  id bigint generated always as identity primary key,
  ring text not null,
  alias text not null references modules (alias),
  version text not null,
  content_hash text not null check (content_hash ~ '^sha256:[0-9a-f]{64}$'),
  source_path text,
  changelog text,
  size_bytes bigint,
  is_active boolean not null default false,
  activated_at timestamptz,
  operation_id uuid,
  created_by text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (ring, alias, version, content_hash)
);
create unique index module_versions_one_active on module_versions (ring, alias) where is_active;

create table module_rings (
  name text primary key,
  commit text,
  lock_digest text,
  platform text,
  operation_id uuid not null,
  actor text not null,
  updated_at timestamptz not null
);

create table tenants (
  id text primary key,
  ring text not null,
  hostnames text[] not null default '{}',
  enabled_modules text[] not null default '{}',
  reason text,
  since timestamptz,
  updated_at timestamptz not null default now()
);

create table operations (
  id uuid primary key,
  ring text not null,
  replica text not null,
  commit text,
  actor text not null,
  state text not null,
  from_generation bigint,
  to_generation bigint,
  started_at timestamptz not null,
  finished_at timestamptz
);

create table audit_events (
  id uuid primary key,
  root uuid not null,
  sequence bigint not null,
  occurred_at timestamptz not null,
  ring text not null,
  replica text not null,
  actor text not null,
  commit text,
  operation_id uuid not null,
  action text not null,
  module text,
  from_version text,
  to_version text,
  digest text,
  outcome text not null,
  detail jsonb not null,
  previous text not null,
  hash text not null,
  recorded_at timestamptz not null default now()
);
create index audit_events_chain on audit_events (root, sequence);
create index audit_events_module on audit_events (module, ring, occurred_at desc);
create index audit_events_time on audit_events (occurred_at desc);

create table reconciler_status (
  ring text not null,
  replica text not null,
  state text not null,
  commit text,
  converged_commit text,
  generation bigint,
  last_error jsonb,
  observed_at timestamptz not null,
  version text not null,
  status jsonb not null,
  primary key (ring, replica)
);
`;
