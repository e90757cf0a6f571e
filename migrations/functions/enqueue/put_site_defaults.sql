create or replace function relay.put_site_defaults(
  p_site_id uuid,
  p_default_country text,   -- null: as it is; none: none; so are the next two
  p_ad_user_data text,
  p_ad_personalization text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (default_country text, ad_user_data text, ad_personalization text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into relay.site as site (
    site_id, default_country, default_ad_user_data, default_ad_personalization, created_at, updated_at
  )
  values (
    p_site_id, nullif(p_default_country, 'none'), nullif(p_ad_user_data, 'none'), nullif(p_ad_personalization, 'none'),
    coalesce(p_now, pg_catalog.clock_timestamp()), coalesce(p_now, pg_catalog.clock_timestamp())
  )
  on conflict (site_id) do update
  set
    default_country = case when p_default_country is null then site.default_country else excluded.default_country end,
    default_ad_user_data = case
      when p_ad_user_data is null then site.default_ad_user_data else excluded.default_ad_user_data
    end,
    default_ad_personalization = case
      when p_ad_personalization is null then site.default_ad_personalization else excluded.default_ad_personalization
    end,
    updated_at = excluded.updated_at
  returning site.default_country, site.default_ad_user_data, site.default_ad_personalization;
$$;

comment on function relay.put_site_defaults is
  'Sets what holds for a site''s conversions that say nothing themselves: the country of national phone numbers (an ISO 3166 '
  'code in capitals), and consent per purpose (GRANTED or DENIED). Answers what stands now.';

grant execute on function relay.put_site_defaults to relay_service;
