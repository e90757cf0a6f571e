create or replace function relay.meet_orders(
  p_conversion_ids bigint[]
)
returns bigint[]
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
declare
  v_first_id bigint;
  v_last_id bigint;
  v_met bigint[];
begin
  select pg_catalog.min(come.conversion_id), pg_catalog.max(come.conversion_id)
  from unnest(p_conversion_ids) as come (conversion_id)
  into v_first_id, v_last_id;

  -- With limits, so that each stays one look and is never turned round, which would read all that waits; between bounds that are
  -- known before the query starts, so that it opens their weeks alone.
  with place as materialized (
    select waiting.place
    from unnest(p_conversion_ids) as come (conversion_id)
    cross join lateral (
      select conversion.group_id, conversion.order_hash, conversion.due_at
      from relay.conversion
      where conversion.conversion_id = come.conversion_id
        and conversion.conversion_id >= v_first_id
        and conversion.conversion_id <= v_last_id
      limit 1
    ) as conversion
    cross join lateral (
      select
      from relay.order_chain
      where order_chain.group_id = conversion.group_id and order_chain.order_hash = conversion.order_hash
      limit 1
    ) as chain
    cross join lateral (
      select ready.ctid as place
      from relay.ready
      where ready.group_id = conversion.group_id
        and ready.band in (0, 1)
        and ready.next_attempt_at = conversion.due_at
        and ready.conversion_id = come.conversion_id
      limit 1
    ) as waiting
  ), met as (
    delete from relay.ready
    where ready.ctid = any (array(select place.place from place))
    returning ready.conversion_id
  )
  select pg_catalog.array_agg(met.conversion_id) from met into v_met;
  return v_met;
end;
$$;

comment on function relay.meet_orders is
  'Takes those conversions out of ready that came in just now, in this transaction, without an order, and whose order has a chain '
  'all the same: others named it, or adjusted it before it came. Answers their ids, null where there is none: they are to join it. '
  'Called by functions.';
