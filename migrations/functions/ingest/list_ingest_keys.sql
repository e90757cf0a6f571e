create or replace function relay.list_ingest_keys(
  p_site_id uuid
)
returns table (key_id integer, created_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select ingest_key.key_id, ingest_key.created_at
  from relay.ingest_key
  where ingest_key.site_id = p_site_id
  order by ingest_key.key_id;
$$;

comment on function relay.list_ingest_keys is 'The keys with which a site signs, the oldest first: ids and times, no keys.';

grant execute on function relay.list_ingest_keys to relay_service;
