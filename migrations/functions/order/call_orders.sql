create or replace function relay.call_orders(
  p_group_ids integer[],
  p_conversion_ids bigint[],
  p_now timestamptz
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- A plan that was made while nothing was blocked would read all of it for ever.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- In most groups nothing is, and this is all that they pay.
  perform from relay.blocked where blocked.group_id = any (p_group_ids) limit 1;
  if not found then
    return;
  end if;
  insert into relay.order_call (call_at, group_id, order_hash)
  select distinct p_now, blocked.group_id, blocked.order_hash
  from unnest(p_conversion_ids) as ended (conversion_id)
  join relay.blocked on blocked.head = ended.conversion_id;
end;
$$;

comment on function relay.call_orders is
  'Tells that conversions of these groups have ended: orders of which one was the head, and that have something blocked, are '
  'looked at by the next claim. One index probe where the groups have nothing blocked. Locks nothing and waits for nobody, so '
  'that it may be called with any locks in hand. Whoever ends a conversion, or settles its receipt, calls it, in the same transaction and after its '
  'outcome is written. Called by functions.';
