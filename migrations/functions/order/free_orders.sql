create or replace function relay.free_orders(
  p_limit integer,
  p_now timestamptz
)
returns table (group_id integer, outcome text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_group_ids integer[];
  v_order_hashes uuid[];
  v_freed integer[];
  v_freed_due timestamptz[];
  v_ended integer[];
  v_outcomes text[];
begin
  -- A call stays where somebody else has its chain, and what is told there may not have been seen by them.
  with due as materialized (
    select order_call.call_at, order_call.call_id, order_call.group_id, order_call.order_hash
    from relay.order_call
    join relay.order_chain
      on order_chain.group_id = order_call.group_id and order_chain.order_hash = order_call.order_hash
    where order_call.call_at > p_now - interval '5 minutes' and order_call.call_at <= p_now
    order by order_call.call_at, order_call.call_id
    limit p_limit
    for update of order_call skip locked
    for no key update of order_chain skip locked
  ), gone as (
    delete from relay.order_call
    using due
    where order_call.call_at = due.call_at and order_call.call_id = due.call_id
  ), distinctly as (
    select distinct due.group_id, due.order_hash from due
  )
  select pg_catalog.array_agg(distinctly.group_id), pg_catalog.array_agg(distinctly.order_hash)
  from distinctly
  into v_group_ids, v_order_hashes;
  if v_group_ids is null then
    return;
  end if;

  with advanced as materialized (
    select advanced.* from relay.advance_orders(v_group_ids, v_order_hashes, p_now) as advanced
  ), freed as (
    select advanced.group_id, pg_catalog.min(advanced.due_at) as due_at
    from advanced
    where advanced.due_at is not null
    group by advanced.group_id
  )
  select
    (select pg_catalog.array_agg(freed.group_id order by freed.group_id) from freed),
    (select pg_catalog.array_agg(freed.due_at order by freed.group_id) from freed),
    (select pg_catalog.array_agg(advanced.group_id) from advanced where advanced.outcome is not null),
    (select pg_catalog.array_agg(advanced.outcome) from advanced where advanced.outcome is not null)
  into v_freed, v_freed_due, v_ended, v_outcomes;

  if v_freed is not null then
    -- Claims do this, and a claim never waits: a group that somebody visits at this moment is found by the look for
    -- forgotten groups, where its visitor does not see the rows.
    with called as materialized (
      select
        delivery_group.group_id,
        greatest(
          freed.due_at, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until
        ) as turn_at
      from unnest(v_freed, v_freed_due) as freed (group_id, due_at)
      join relay.delivery_group on delivery_group.group_id = freed.group_id
      where delivery_group.hold_id is null
      for no key update of delivery_group skip locked
    )
    update relay.delivery_group
    set turn_at = called.turn_at
    from called
    where delivery_group.group_id = called.group_id and delivery_group.turn_at > called.turn_at;
  end if;
  return query select ended.group_id, ended.outcome from unnest(v_ended, v_outcomes) as ended (group_id, outcome);
end;
$$;

comment on function relay.free_orders is
  'Looks at the orders that were called, at most p_limit calls, those of the last 5 minutes (relay.wake_groups calls older ones '
  'again): relay.advance_orders for each, their groups put into the line. A row per conversion that ended without being sent, for the caller to count last. Waits for '
  'nobody: an order or a group that somebody else has is left for later. Called by claims.';
