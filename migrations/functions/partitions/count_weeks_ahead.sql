create or replace function relay.count_weeks_ahead(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select coalesce(
    pg_catalog.min(ahead.weeks) filter (where not relay.has_partition(clock.now + ahead.weeks * interval '7 days')),
    105
  )::integer - 1
  from clock
  cross join pg_catalog.generate_series(0, 104) as ahead (weeks);
$$;

comment on function relay.count_weeks_ahead is
  'For how many weeks after this one the partitions are there, without a gap, counted to 104; -1 where not even this week''s are.';

grant execute on function relay.count_weeks_ahead to relay_service, relay_operator;
