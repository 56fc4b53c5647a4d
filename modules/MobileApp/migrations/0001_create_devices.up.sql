create table mobile_devices (
  id uuid primary key,
  customer text not null,
  push_token text not null unique,
  last_seen_at timestamptz not null default now()
);
