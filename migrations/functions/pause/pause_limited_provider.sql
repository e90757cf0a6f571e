create or replace function relay.pause_limited_provider(
  p_provider_key text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_until timestamptz;
begin
  -- One group that may go is enough: one tenant's limit stops no other.
  if exists (
    select
    from relay.delivery_group
    left join relay.quota on quota.quota_key = delivery_group.quota_key
    where delivery_group.provider_key = p_provider_key
      and delivery_group.hold_id is null
      and greatest(delivery_group.throttled_until, quota.throttled_until) <= v_now
  ) then
    return null;
  end if;
  select min(greatest(delivery_group.throttled_until, quota.throttled_until))
  from relay.delivery_group
  left join relay.quota on quota.quota_key = delivery_group.quota_key
  where delivery_group.provider_key = p_provider_key and delivery_group.hold_id is null
  into v_until;
  if v_until is null then
    return null;
  end if;
  insert into relay.pause as pause (scope, provider_key, reason, paused_at, paused_until)
  values ('provider', p_provider_key, 'RATE_LIMITED', v_now, v_until)
  on conflict (provider_key, coalesce(site_id, '00000000-0000-0000-0000-000000000000')) do update
  set reason = excluded.reason, paused_at = excluded.paused_at, paused_until = excluded.paused_until
  -- What an operator said stands.
  where pause.paused_until <= v_now or pause.reason = 'RATE_LIMITED';
  return case when found then v_until end;
end;
$$;

comment on function relay.pause_limited_provider is
  'After a rate limit: pauses the provider until the first of its groups may go again, as the provider named it, where none '
  'may go now. Says until when; null where one may, or an operator has paused it already. Held groups do not count.';

grant execute on function relay.pause_limited_provider to relay_service;
