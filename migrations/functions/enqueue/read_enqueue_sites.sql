create or replace function relay.read_enqueue_sites(
  p_site_ids uuid[]
)
returns table (site_id uuid, default_country text, provider_keys text[])
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    site.site_id,
    site.default_country,
    coalesce(
      (
        select pg_catalog.array_agg(delivery_group.provider_key order by delivery_group.provider_key)
        from relay.delivery_group
        join relay.provider_credentials on provider_credentials.group_id = delivery_group.group_id
        where delivery_group.site_id = site.site_id
      ),
      '{}'
    )
  from relay.site
  where site.site_id = any (p_site_ids);
$$;

comment on function relay.read_enqueue_sites is
  'What the door needs to know of sites: how to read national phone numbers, and the providers with credentials. A row per '
  'known site.';

grant execute on function relay.read_enqueue_sites to relay_service;
