create or replace function relay.read_held_groups(
  p_provider_key text,
  p_site_id uuid,           -- null: every site
  p_limit integer
)
returns table (site_id uuid, code text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select delivery_group.site_id, hold.code
  from relay.delivery_group
  join relay.hold on hold.hold_id = delivery_group.hold_id
  where delivery_group.hold_id is not null
    and delivery_group.provider_key = p_provider_key
    and (p_site_id is null or delivery_group.site_id = p_site_id)
    and exists (select from relay.ready where ready.group_id = delivery_group.group_id)
  order by delivery_group.hold_id
  limit p_limit;
$$;

comment on function relay.read_held_groups is
  'Groups that are held while conversions wait in them, the longest held first, at most p_limit: site and code.';

grant execute on function relay.read_held_groups to relay_service, relay_operator;
