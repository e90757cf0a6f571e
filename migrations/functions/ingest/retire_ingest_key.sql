create or replace function relay.retire_ingest_key(
  p_site_id uuid,
  p_key_id integer
)
returns table (retired boolean)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with gone as (
    delete from relay.ingest_key
    where ingest_key.site_id = p_site_id and ingest_key.key_id = p_key_id
    returning ingest_key.key_id
  )
  select exists (select from gone);
$$;

comment on function relay.retire_ingest_key is
  'Takes away a key with which a site signs. Answers whether there was one of this id; programs that know it forget it '
  'within seconds.';

grant execute on function relay.retire_ingest_key to relay_service;
