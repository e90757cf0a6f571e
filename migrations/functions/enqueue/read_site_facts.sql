create or replace function relay.read_site_facts(
  p_site_ids uuid[]
)
returns table (
  site_id uuid,
  default_country text,
  ad_user_data text,
  ad_personalization text,
  provider_keys text[],
  conversion_actions text[]
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    known.site_id, known.default_country, known.ad_user_data, known.ad_personalization, known.provider_keys,
    (
      select coalesce(pg_catalog.array_agg(delivery_group.conversion_action order by one.place), '{}')
      from unnest(known.provider_keys) with ordinality as one (provider_key, place)
      left join relay.delivery_group
        on delivery_group.site_id = known.site_id and delivery_group.provider_key = one.provider_key
    )
  from relay.read_site_defaults(p_site_ids) as known;
$$;

comment on function relay.read_site_facts is
  'As relay.read_site_defaults, and beside each provider the conversion action that its credentials name; null where that is '
  'not known.';

grant execute on function relay.read_site_facts to relay_service;
