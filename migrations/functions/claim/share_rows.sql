create or replace function relay.share_rows(
  p_group_ids integer[],
  p_rows integer,
  p_most integer,           -- of one group
  p_now timestamptz
)
returns integer[]
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
set enable_bitmapscan = off
set enable_seqscan = off
set jit = off
as $$
  with counted as materialized (
    -- Counting ends at four equal shares: beyond, a group is large, whatever it has.
    select chosen.group_id, chosen.turn, backlog.due, backlog.due >= cap.rows as is_large
    from unnest(p_group_ids) with ordinality as chosen (group_id, turn)
    join relay.delivery_group on delivery_group.group_id = chosen.group_id
    cross join (
      values (least(p_most, 4 * ((p_rows + pg_catalog.cardinality(p_group_ids) - 1) / pg_catalog.cardinality(p_group_ids))))
    ) as cap (rows)
    cross join lateral (
      select pg_catalog.count(*)::integer as due
      from (
        select
        from (values (0::smallint), (1::smallint)) as bands (band)
        cross join lateral (
          select
          from relay.ready
          where ready.group_id = chosen.group_id
            and ready.band = bands.band
            and ready.next_attempt_at >= case
              when delivery_group.floor_until <= p_now then '-infinity'
              when bands.band = 1 then delivery_group.floor_at
              else delivery_group.urgent_floor_at
            end
            and ready.next_attempt_at <= p_now
          limit cap.rows
        ) as waiting
        limit cap.rows
      ) as row
    ) as backlog
  ), weighed as (
    select
      counted.turn,
      case when counted.is_large then p_most else counted.due end as need,
      pg_catalog.floor(
        p_rows * pg_catalog.sqrt(counted.due)
          / coalesce(nullif(pg_catalog.sum(pg_catalog.sqrt(counted.due)) over (), 0), 1)
      )::integer as share
    from counted
  ), based as (
    select weighed.turn, weighed.need, least(weighed.need, greatest(1, weighed.share)) as base
    from weighed
  ), filled as (
    -- What some do not need goes to those that do, in the order of their turns.
    select
      based.turn,
      based.base + greatest(
        0,
        least(
          based.need - based.base,
          p_rows - pg_catalog.sum(based.base) over ()
            - coalesce(
              pg_catalog.sum(based.need - based.base) over (
                order by based.turn rows between unbounded preceding and 1 preceding
              ),
              0
            )
        )
      )::integer as rows
    from based
  )
  select pg_catalog.array_agg(filled.rows order by filled.turn) from filled;
$$;

comment on function relay.share_rows is
  'Shares p_rows out among groups, by the root of what is due in each: an entry per group, in their order. What one does '
  'not need goes to the others, at most p_most to each. Reads four times p_rows at most, whatever waits. Called by functions.';
