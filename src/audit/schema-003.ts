/** Which replica tells the outside what: the one whose row it is; read by `ensureSchema`. */
export const outwardTables = `
create table outward_claims (
  ring text not null,
  receiver text not null,
  key text not null,
  delivery uuid not null,
  replica text not null,
  commit text,
  lapses boolean not null,
  is_done boolean not null default false,
  claimed_at timestamptz not null default clock_timestamp(),
  primary key (ring, receiver, key)
);
create index outward_claims_of_commit on outward_claims (ring, receiver, commit);
`;
