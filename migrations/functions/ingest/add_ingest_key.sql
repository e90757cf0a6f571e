create or replace function relay.add_ingest_key(
  p_site_id uuid,
  p_key_version integer,
  p_sealed bytea,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (key_id integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
begin
  insert into relay.site (site_id, created_at, updated_at)
  values (p_site_id, v_now, v_now)
  on conflict do nothing;
  -- Of two that come at once the second counts the first one's key.
  perform from relay.site where site.site_id = p_site_id for update;
  if exists (select from relay.site where site.site_id = p_site_id and site.removed_at is not null) then
    raise exception 'the site was removed: credentials put for it bring it back' using errcode = 'CR001';
  end if;
  if (select pg_catalog.count(*) from relay.ingest_key where ingest_key.site_id = p_site_id) >= 2 then
    return;
  end if;
  return query
  insert into relay.ingest_key as ingest_key (site_id, key_version, sealed, created_at)
  values (p_site_id, p_key_version, p_sealed, v_now)
  returning ingest_key.key_id;
end;
$$;

comment on function relay.add_ingest_key is
  'Keeps a sealed key with which a site signs; the site is made where there is none. Answers its id, and no row where the '
  'site has two already: one has to be retired first. Raises CR001 for a site that was removed. Locks the site.';

grant execute on function relay.add_ingest_key to relay_service;
