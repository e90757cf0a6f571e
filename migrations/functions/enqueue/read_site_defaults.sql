create or replace function relay.read_site_defaults(
  p_site_ids uuid[]
)
returns table (
  site_id uuid,
  default_country text,
  ad_user_data text,
  ad_personalization text,
  provider_keys text[]
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    known.site_id, known.default_country, site.default_ad_user_data, site.default_ad_personalization,
    known.provider_keys
  from relay.read_enqueue_sites(p_site_ids) as known
  join relay.site on site.site_id = known.site_id;
$$;

comment on function relay.read_site_defaults is
  'What the door needs to know of sites: how to read national phone numbers, what holds where a conversion says nothing of '
  'consent, and the providers with credentials. A row per known site.';

grant execute on function relay.read_site_defaults to relay_service;
