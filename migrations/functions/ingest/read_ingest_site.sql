create or replace function relay.read_ingest_site(
  p_site_id uuid,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  database_time timestamptz,
  default_country text,
  ad_user_data text,
  ad_personalization text,
  provider_keys text[],
  conversion_actions text[],
  key_versions integer[],
  sources text[],
  wrapped bytea[],
  sealed bytea[]
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(p_now, pg_catalog.clock_timestamp()),
    known.default_country, known.ad_user_data, known.ad_personalization, coalesce(known.provider_keys, '{}'),
    coalesce(known.conversion_actions, '{}'),
    coalesce(keys.key_versions, '{}'), coalesce(keys.sources, '{}'), coalesce(keys.wrapped, '{}'), coalesce(keys.sealed, '{}')
  from (
    select
      pg_catalog.array_agg(ingest_key.key_version order by ingest_key.key_id) as key_versions,
      pg_catalog.array_agg(vault_key.source order by ingest_key.key_id) as sources,
      pg_catalog.array_agg(vault_key.wrapped order by ingest_key.key_id) as wrapped,
      pg_catalog.array_agg(ingest_key.sealed order by ingest_key.key_id) as sealed
    from relay.ingest_key
    join relay.vault_key on vault_key.key_version = ingest_key.key_version
    where ingest_key.site_id = p_site_id
  ) as keys
  left join relay.read_site_facts(array[p_site_id]) as known on true;
$$;

comment on function relay.read_ingest_site is
  'All that the door needs before it lets a site''s conversions in: its sealed keys with what opens them (none of an unknown '
  'site), what holds where a conversion says nothing itself, its providers with credentials, and what time it is. One row.';

grant execute on function relay.read_ingest_site to relay_service;
