-- The door: keys with which sites sign what they send.
-- oldest program: 0.1.0

create table relay.ingest_key (
  key_id integer generated always as identity,
  site_id uuid not null,
  key_version integer not null,
  sealed bytea not null,
  created_at timestamptz not null,
  constraint ingest_key_pkey primary key (key_id),
  constraint ingest_key_site_id_fkey foreign key (site_id) references relay.site (site_id),
  constraint ingest_key_key_version_fkey foreign key (key_version) references relay.vault_key (key_version)
);
comment on table relay.ingest_key is
  'The keys with which a site signs what it sends, two at most, so that one can take over from the other. Sealed: site and '
  'purpose are associated data, so that a key that is copied to another site''s row does not open. A retired one is gone.';
create index ingest_key_site on relay.ingest_key (site_id);
