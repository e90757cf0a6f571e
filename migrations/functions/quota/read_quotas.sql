create or replace function relay.read_quotas(
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  quota_key text, groups bigint, slots integer, slots_in_use bigint, per_minute integer, per_day integer,
  next_at timestamptz, used double precision, throttled_until timestamptz
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select
    quota.quota_key, coalesce(shared.groups, 0), quota.slots,
    (
      select pg_catalog.count(*)
      from relay.upload_slot
      where upload_slot.quota_key = quota.quota_key and upload_slot.lease_until > clock.now
    ),
    quota.per_minute, quota.per_day, budget.next_at, budget.used,
    case when quota.throttled_until > clock.now then quota.throttled_until end
  from clock
  cross join relay.quota
  cross join lateral relay.read_budget(quota, clock.now) as budget
  left join (
    select delivery_group.quota_key, pg_catalog.count(*) as groups
    from relay.delivery_group
    group by delivery_group.quota_key
  ) as shared on shared.quota_key = quota.quota_key
  order by budget.used desc, quota.throttled_until desc, shared.groups desc nulls last, quota.quota_key
  limit p_limit;
$$;

comment on function relay.read_quotas is
  'What each quota key shares and what of it is used, the most used first: when its next request may leave, the part of '
  'its burst that is used (0 to 1), a throttle that the provider asked for. At most p_limit.';

grant execute on function relay.read_quotas to relay_service, relay_operator;
