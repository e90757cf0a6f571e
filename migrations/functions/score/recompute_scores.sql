create or replace function relay.recompute_scores(
  p_window_days integer,
  p_site_id uuid,           -- null: every site
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (groups integer, scored integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
#variable_conflict use_column
declare
  -- Fewer conversions that ended one way or the other say too little.
  c_ends_min constant integer := 20;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_until date;
begin
  if p_window_days not between 1 and 3650 then
    raise exception 'p_window_days must lie in 1 to 3650' using errcode = 'CR001';
  end if;
  select coalesce(pg_catalog.max(scored_day.day), v_now::date - 1) from relay.scored_day where scored_day.hours = 24 into v_until;

  with summed as materialized (
    select
      delivery_day.group_id, pg_catalog.sum(delivery_day.delivered) as delivered,
      -- An end before the window that was taken back within it.
      greatest(pg_catalog.sum(delivery_day.failed), 0) as failed, pg_catalog.sum(delivery_day.neutral) as neutral,
      pg_catalog.sum(delivery_day.requests) as requests, pg_catalog.sum(delivery_day.requests_failed) as requests_failed
    from relay.delivery_day
    where delivery_day.day > v_until - p_window_days and delivery_day.day <= v_until
    group by delivery_day.group_id
  ), written as (
    insert into relay.delivery_score as delivery_score (
      group_id, site_id, provider_key, score, delivered, failed, neutral, requests, requests_failed, window_days, until_day,
      computed_at
    )
    select
      delivery_group.group_id, delivery_group.site_id, delivery_group.provider_key,
      case
        when coalesce(summed.delivered + summed.failed, 0) >= c_ends_min
          then pg_catalog.round(100.0 * summed.delivered / (summed.delivered + summed.failed), 1)
      end,
      coalesce(summed.delivered, 0), coalesce(summed.failed, 0), coalesce(summed.neutral, 0), coalesce(summed.requests, 0),
      coalesce(summed.requests_failed, 0), p_window_days, v_until, v_now
    from relay.delivery_group
    left join summed on summed.group_id = delivery_group.group_id
    where p_site_id is null or delivery_group.site_id = p_site_id
    order by delivery_group.group_id
    on conflict (group_id) do update
    set
      score = excluded.score, delivered = excluded.delivered, failed = excluded.failed, neutral = excluded.neutral,
      requests = excluded.requests, requests_failed = excluded.requests_failed, window_days = excluded.window_days,
      until_day = excluded.until_day, computed_at = excluded.computed_at
    returning delivery_score.score
  )
  select pg_catalog.count(*), pg_catalog.count(written.score) from written into groups, scored;
  return next;
end;
$$;

comment on function relay.recompute_scores is
  'Writes the delivery score of every group from the days that relay.tally_deliveries counted, over the last p_window_days of '
  'them: aggregate and upsert, in one statement; twice gives the same. One row: groups, and those of them that have a score. '
  'What a score is: see the table relay.delivery_score. Raises CR001 for a bad window. Locks: scores in order.';

grant execute on function relay.recompute_scores to relay_service;
