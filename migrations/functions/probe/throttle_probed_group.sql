create or replace function relay.throttle_probed_group(
  p_site_id uuid,
  p_provider_key text,
  p_scope text,             -- group or quota_key
  p_wait_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz := coalesce(p_now, pg_catalog.clock_timestamp()) + pg_catalog.make_interval(secs => p_wait_seconds);
begin
  if p_scope = 'quota_key' then
    update relay.quota
    set throttled_until = greatest(quota.throttled_until, v_until)
    from relay.delivery_group
    where delivery_group.site_id = p_site_id
      and delivery_group.provider_key = p_provider_key
      and quota.quota_key = delivery_group.quota_key;
  elsif p_scope = 'group' then
    update relay.delivery_group
    set
      throttled_until = greatest(delivery_group.throttled_until, v_until),
      turn_at = greatest(delivery_group.turn_at, v_until)
    where delivery_group.site_id = p_site_id and delivery_group.provider_key = p_provider_key;
  else
    raise exception 'p_scope must be group or quota_key' using errcode = 'CR001';
  end if;
end;
$$;

comment on function relay.throttle_probed_group is
  'Where a look at an account was asked to wait: nothing goes for its group, or for all of its quota key, for so long, as where '
  'an upload is asked. Raises CR001 for a bad scope. Locks the quota or the group.';

grant execute on function relay.throttle_probed_group to relay_service;
