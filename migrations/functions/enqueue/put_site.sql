create or replace function relay.put_site(
  p_site_id uuid,
  p_default_country text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into relay.site (site_id, default_country, created_at, updated_at)
  values (
    p_site_id, p_default_country,
    coalesce(p_now, pg_catalog.clock_timestamp()), coalesce(p_now, pg_catalog.clock_timestamp())
  )
  on conflict (site_id) do update
  set default_country = excluded.default_country, updated_at = excluded.updated_at;
$$;

comment on function relay.put_site is
  'Sets how a site''s national phone numbers are read (an ISO 3166 code in capitals, or null for not at all).';

grant execute on function relay.put_site to relay_service;
