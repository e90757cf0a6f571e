create or replace function relay.end_waiting_conversions(
  p_group_ids integer[],      -- what waits in these groups
  p_conversion_ids bigint[],  -- null: all of it; else these alone
  p_code text,
  p_limit integer,
  p_now timestamptz
)
returns table (ready integer, held integer, blocked integer, in_doubt integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- As in the claim: a walk along one index, whatever was there when the plan was made.
set enable_sort = off
set enable_bitmapscan = off
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_blocked bigint[] := p_conversion_ids;
  v_held bigint[] := p_conversion_ids;
  v_groups integer[];
  v_bands smallint[];
  v_times timestamptz[];
  v_ids bigint[];
  v_ended_groups integer[];
  v_ended_ids bigint[];
begin
  -- What waits for its order first, and the rest only after it: nothing shall be let go by the end of its head.
  if p_conversion_ids is null then
    select pg_catalog.array_agg(waiting.conversion_id)
    from (
      select blocked.conversion_id
      from relay.blocked
      where blocked.group_id = any (p_group_ids)
      limit p_limit
    ) as waiting
    into v_blocked;
    if coalesce(pg_catalog.cardinality(v_blocked), 0) < p_limit then
      select pg_catalog.array_agg(parked.conversion_id)
      from (
        select held.conversion_id
        from relay.hold
        join relay.held on held.hold_id = hold.hold_id
        where hold.group_id = any (p_group_ids) and hold.lifted_at is null
        limit p_limit
      ) as parked
      into v_held;
      select
        pg_catalog.array_agg(waiting.group_id), pg_catalog.array_agg(waiting.band),
        pg_catalog.array_agg(waiting.next_attempt_at), pg_catalog.array_agg(waiting.conversion_id)
      from (
        select first.group_id, first.band, first.next_attempt_at, first.conversion_id
        from unnest(p_group_ids) as chosen (group_id)
        cross join lateral (
          select ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
          from relay.ready
          where ready.group_id = chosen.group_id
          order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
          limit p_limit
        ) as first
        limit p_limit
      ) as waiting
      into v_groups, v_bands, v_times, v_ids;
    end if;
  else
    -- The whole key of ready is known: see the comment on the table.
    select
      pg_catalog.array_agg(conversion.group_id), pg_catalog.array_agg(bands.band),
      pg_catalog.array_agg(coalesce(latest.next_attempt_at, conversion.due_at)),
      pg_catalog.array_agg(conversion.conversion_id)
    from (select distinct named.conversion_id from unnest(p_conversion_ids) as named (conversion_id)) as chosen
    cross join lateral (
      select conversion.conversion_id, conversion.group_id, conversion.due_at
      from relay.conversion
      where conversion.conversion_id = chosen.conversion_id
      limit 1
    ) as conversion
    left join lateral (
      select outcome.next_attempt_at
      from relay.conversion_outcome as outcome
      where outcome.conversion_id = chosen.conversion_id
      order by outcome.seq desc
      limit 1
    ) as latest on true
    cross join (values (0::smallint), (1::smallint)) as bands (band)
    into v_groups, v_bands, v_times, v_ids;
  end if;

  with due as materialized (
    select ready.*
    from unnest(v_groups, v_bands, v_times, v_ids) as chosen (group_id, band, next_attempt_at, conversion_id)
    join relay.ready
      on ready.group_id = chosen.group_id
      and ready.band = chosen.band
      and ready.next_attempt_at = chosen.next_attempt_at
      and ready.conversion_id = chosen.conversion_id
    -- What a claim has at this moment is on its way, and is told of as such.
    for update of ready skip locked
  ), gone as (
    delete from relay.ready
    using due
    where ready.group_id = due.group_id
      and ready.band = due.band
      and ready.next_attempt_at = due.next_attempt_at
      and ready.conversion_id = due.conversion_id
  ), unheld as materialized (
    select held.*
    from (select distinct named.conversion_id from unnest(v_held) as named (conversion_id)) as chosen
    join relay.held on held.conversion_id = chosen.conversion_id
    where held.group_id = any (p_group_ids)
    for update of held skip locked
  ), freed as (
    delete from relay.held using unheld where held.conversion_id = unheld.conversion_id
  ), unblocked as materialized (
    select blocked.*
    from (select distinct named.conversion_id from unnest(v_blocked) as named (conversion_id)) as chosen
    join relay.blocked on blocked.conversion_id = chosen.conversion_id
    where blocked.group_id = any (p_group_ids)
    for update of blocked skip locked
  ), released as (
    delete from relay.blocked using unblocked where blocked.conversion_id = unblocked.conversion_id
  ), ending as materialized (
    select due.group_id, due.conversion_id, due.seq, due.retry_count, due.omitted, due.maybe_delivered from due
    union all
    select unheld.group_id, unheld.conversion_id, unheld.seq, unheld.retry_count, unheld.omitted, unheld.maybe_delivered
    from unheld
    union all
    select
      unblocked.group_id, unblocked.conversion_id, unblocked.seq, unblocked.retry_count, unblocked.omitted,
      unblocked.maybe_delivered
    from unblocked
  ), ended as (
    -- What may have been delivered stays so: what adjusts it is judged by that.
    insert into relay.conversion_outcome (conversion_id, seq, outcome, class, code, retry_count, omitted, recorded_at)
    select
      ending.conversion_id, ending.seq + 1, 'CANCELLED', case when ending.maybe_delivered then 'AMBIGUOUS' end, p_code,
      ending.retry_count, nullif(ending.omitted, 0), p_now
    from ending
  )
  select
    (select pg_catalog.count(*) from due), (select pg_catalog.count(*) from unheld),
    (select pg_catalog.count(*) from unblocked), (select pg_catalog.count(*) from ending where ending.maybe_delivered),
    (select pg_catalog.array_agg(ending.group_id) from ending), (select pg_catalog.array_agg(ending.conversion_id) from ending)
  into ready, held, blocked, in_doubt, v_ended_groups, v_ended_ids;

  if v_ended_ids is not null then
    perform relay.call_orders(v_ended_groups, v_ended_ids, p_now);
    perform relay.count_endings(
      v_ended_groups, pg_catalog.array_fill('CANCELLED'::text, array[pg_catalog.cardinality(v_ended_ids)]), p_now
    );
  end if;
  return next;
end;
$$;

comment on function relay.end_waiting_conversions is
  'Ends as cancelled what waits in these groups, in ready, held or blocked: all of it or the conversions named, at most p_limit '
  'of each place where all is meant; says how many of each, and how many of all of them may have been delivered. What is in a '
  'claim is not touched. Orders whose head ended are called. Waits for nobody: passes over what is locked. Locks: rows, '
  'metrics. Called by functions, which have checked the arguments.';
