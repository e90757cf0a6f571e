create or replace function relay.read_budget_wait(
  p_provider_key text,
  p_site_id uuid,           -- null: every site
  p_now timestamptz default null  -- last; only tests set the clock
)
returns bigint
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
set enable_bitmapscan = off
set jit = off
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  ), line as materialized (
    select delivery_group.quota_key
    from relay.delivery_group
    where delivery_group.provider_key = p_provider_key
      and delivery_group.turn_at < 'infinity'
      and delivery_group.turn_at <= (select clock.now from clock)
      and (p_site_id is null or delivery_group.site_id = p_site_id)
    order by delivery_group.provider_key, delivery_group.turn_at, delivery_group.group_id
    limit 1000
  )
  select pg_catalog.ceil(1000 * extract(epoch from pg_catalog.min(budget.next_at - clock.now)))::bigint
  from clock
  cross join (select distinct line.quota_key from line) as due
  join relay.quota on quota.quota_key = due.quota_key
  cross join lateral relay.read_budget(quota, clock.now) as budget
  where (quota.per_minute is not null or quota.per_day is not null)
    and not exists (
      select
      from relay.pause
      where pause.provider_key = p_provider_key and pause.site_id is null and pause.paused_until > clock.now
    );
$$;

comment on function relay.read_budget_wait is
  'Milliseconds until the next request may leave for groups that stand in line and have a request budget, looked for '
  'among the first 1000; null where none waits for one. For a run that found nothing to claim.';

grant execute on function relay.read_budget_wait to relay_service;
