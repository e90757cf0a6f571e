create or replace function relay.find_week_to_prune(
  p_before bigint
)
returns table (id_from bigint, id_to bigint, skipped text[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_week record;
begin
  skipped := '{}';
  for v_week in
    -- One statement, one moment: what moves from ready to a claim meanwhile is seen in one of them.
    with old as materialized (
      select partition.id_from, partition.id_to, pg_catalog.min(partition.name) as name
      from relay.read_partitions() as partition
      where partition.parent in ('conversion', 'conversion_outcome') and partition.id_to <= p_before
      group by partition.id_from, partition.id_to
    ), alive as materialized (
      select ready.conversion_id, 'waits' as stands from relay.ready where ready.conversion_id < p_before
      union all
      select held.conversion_id, 'is held' from relay.held where held.conversion_id < p_before
      union all
      select blocked.conversion_id, 'waits for its order' from relay.blocked where blocked.conversion_id < p_before
      union all
      select part.conversion_id, 'is in flight'
      from relay.inflight
      cross join lateral unnest(inflight.conversion_ids) as part (conversion_id)
      where part.conversion_id < p_before
      union all
      select outcome.conversion_id, 'awaits its receipt'
      from relay.conversion_outcome as outcome
      join relay.receipt on receipt.attempt_id = outcome.attempt_id and receipt.state = 'PENDING'
      where outcome.conversion_id < p_before and outcome.outcome = 'SUBMITTED'
    )
    select
      old.id_from, old.id_to, old.name,
      (
        select pg_catalog.string_agg(distinct alive.stands, ', ')
        from alive
        where alive.conversion_id >= old.id_from and alive.conversion_id < old.id_to
      ) as stands
    from old
    order by old.id_from
  loop
    if v_week.stands is null then
      id_from := v_week.id_from;
      id_to := v_week.id_to;
      return next;
      return;
    end if;
    skipped := skipped || pg_catalog.format('%s: a conversion %s', v_week.name, v_week.stands);
  end loop;
  return next;
end;
$$;

comment on function relay.find_week_to_prune is
  'The oldest week of conversions wholly before the id p_before of which none lives; null bounds where there is none. '
  'skipped: the weeks before it in which one waits, also for its order, is held, in flight, or awaits its receipt. Called by prune_history, which '
  'holds the lock that keeps the dead from being brought back meanwhile.';
