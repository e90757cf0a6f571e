create or replace function relay.count_waiting(
  p_page_limit integer,     -- pages of relay.ready that are read, and as many of what is parked and of what is blocked
  p_walk_limit integer,     -- index entries that are counted one by one where relay.ready has more pages
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  group_id integer, waiting double precision, least_waiting bigint, at_risk double precision, parked double precision,
  oldest_waiting_at timestamptz, waiting_is_estimate boolean, at_risk_is_estimate boolean, parked_is_estimate boolean
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_custom_plan
set jit = off
as $$
#variable_conflict use_column
declare
  -- Whatever the budget, a group with fewer is counted and not estimated.
  c_group_least constant integer := 20;
  c_soon_limit constant integer := 10000;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_soon timestamptz := v_now + interval '48 hours';
  v_page bigint := pg_catalog.current_setting('block_size')::bigint;
  v_ready real := least(100, 100.0 * p_page_limit * v_page / greatest(1, pg_catalog.pg_relation_size('relay.ready')));
  v_held real := least(100, 100.0 * p_page_limit * v_page / greatest(1, pg_catalog.pg_relation_size('relay.held')));
  v_blocked real := least(100, 100.0 * p_page_limit * v_page / greatest(1, pg_catalog.pg_relation_size('relay.blocked')));
begin
  return query
  with read as materialized (
    -- Whole pages by chance, or all of them: the cost is pages, whatever lies in them.
    select
      ready.group_id,
      pg_catalog.count(*) as rows,
      pg_catalog.count(*) filter (where ready.expires_at < v_soon) as soon,
      pg_catalog.min(ready.next_attempt_at) as first_at
    from relay.ready tablesample system (v_ready)
    group by ready.group_id
  ), head as materialized (
    -- Where a sample is read: the first of each group's two bands, from its floor on.
    select groups.group_id, bands.band, first.next_attempt_at
    from relay.delivery_group as groups
    cross join (values (0::smallint), (1::smallint)) as bands (band)
    cross join lateral (
      select ready.next_attempt_at
      from relay.ready
      where ready.group_id = groups.group_id
        and ready.band = bands.band
        and ready.next_attempt_at >= case
          when groups.floor_until <= v_now then '-infinity'
          when bands.band = 1 then groups.floor_at
          else groups.urgent_floor_at
        end
      order by ready.group_id, ready.band, ready.next_attempt_at
      limit 1
    ) as first
    where v_ready < 100
  ), budget as materialized (
    select greatest(c_group_least, p_walk_limit / greatest(1, pg_catalog.count(*))) as entries from head
  ), walked as materialized (
    select head.group_id, head.band, head.next_attempt_at as first_at, counted.rows, budget.entries
    from head
    cross join budget
    cross join lateral (
      select pg_catalog.count(*) as rows
      from (
        select ready.conversion_id
        from relay.ready
        where ready.group_id = head.group_id
          and ready.band = head.band
          and ready.next_attempt_at >= head.next_attempt_at
        order by ready.group_id, ready.band, ready.next_attempt_at
        limit (select budget.entries from budget)
      ) as entry
    ) as counted
  ), sampled as materialized (
    select
      read.group_id,
      (read.rows - read.soon) * 100.0::double precision / v_ready as later,
      read.soon * 100.0::double precision / v_ready as soon,
      read.first_at
    from read
  ), queued as (
    select
      sampled.group_id, sampled.later + sampled.soon as waiting, 0::bigint as least, sampled.soon, sampled.first_at,
      false as waiting_is_estimate, false as soon_is_estimate
    from sampled
    where v_ready >= 100
    union all
    select
      walked.group_id,
      pg_catalog.sum(
        case
          when walked.rows < walked.entries then walked.rows
          when walked.band = 0 then coalesce(sampled.soon, 0)
          else coalesce(sampled.later, 0)
        end
      ),
      pg_catalog.sum(walked.rows)::bigint,
      coalesce(
        pg_catalog.sum(case when walked.rows < walked.entries then walked.rows else coalesce(sampled.soon, 0) end)
          filter (where walked.band = 0),
        0
      ),
      pg_catalog.min(walked.first_at),
      pg_catalog.bool_or(walked.rows = walked.entries),
      coalesce(pg_catalog.bool_or(walked.rows = walked.entries) filter (where walked.band = 0), false)
    from walked
    left join sampled on sampled.group_id = walked.group_id
    group by walked.group_id
  ), ending as materialized (
    select held.group_id, 1 as entries from (
      select held.group_id from relay.held where held.expires_at < v_soon order by held.expires_at limit c_soon_limit
    ) as held
    union all
    select blocked.group_id, 1 from (
      select blocked.group_id from relay.blocked where blocked.expires_at < v_soon order by blocked.expires_at limit c_soon_limit
    ) as blocked
  ), said (group_id, waiting, least, at_risk, parked, first_at, waiting_is_estimate, at_risk_is_estimate) as (
    select queued.group_id, queued.waiting, queued.least, queued.soon, 0::double precision, queued.first_at,
      queued.waiting_is_estimate, queued.soon_is_estimate
    from queued
    union all
    select held.group_id, 0, 0, 0, pg_catalog.count(*) * 100.0::double precision / v_held, null, false, false
    from relay.held tablesample system (v_held)
    group by held.group_id
    union all
    select blocked.group_id, pg_catalog.count(*) * 100.0::double precision / v_blocked, 0, 0, 0, null, v_blocked < 100, false
    from relay.blocked tablesample system (v_blocked)
    group by blocked.group_id
    union all
    select ending.group_id, 0, 0, pg_catalog.count(*), 0, null, false, (select pg_catalog.count(*) from ending) >= c_soon_limit
    from ending
    group by ending.group_id
  )
  select
    said.group_id, pg_catalog.sum(said.waiting), pg_catalog.sum(said.least)::bigint, pg_catalog.sum(said.at_risk),
    pg_catalog.sum(said.parked), pg_catalog.min(said.first_at), pg_catalog.bool_or(said.waiting_is_estimate),
    pg_catalog.bool_or(said.at_risk_is_estimate), v_held < 100
  from said
  group by said.group_id;
end;
$$;

comment on function relay.count_waiting is
  'How many conversions of each group wait (in relay.ready, or for their order), how many of those and of the parked ones '
  'expire within 48 hours, how many are parked, and when the first that waits was due; groups with none have no row. Its cost '
  'is bounded by p_page_limit, p_walk_limit and the number of groups, whatever waits. Up to p_page_limit pages of a table '
  '(2,000 hold about 150,000 conversions) all is counted. Beyond, a group''s rows are counted one by one in its index, each '
  'group''s up to its part of p_walk_limit; those of a group with more are estimated from as many pages, taken by chance '
  '(of 2,000, 19 times of 20: right within 5 % for all that waits, within 15 % for a tenth of it, the worse the less it is), and '
  'said to be estimates; least_waiting is what was really seen. Counters beside the rows would be exact, and would have every '
  'claim, settlement and batch at the door write one row more; an estimate costs whoever works nothing. What has come within 48 hours of its end since '
  'the last look of relay.expire_conversions is at risk where all is counted, and not yet where it is estimated. At risk of '
  'what is parked or blocked stops counting at 10,000 each. Locks nothing. Called by relay.take_gauges.';
