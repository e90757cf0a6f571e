create or replace function relay.call_orders_of_attempt(
  p_attempt_id bigint,
  p_now timestamptz
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
  insert into relay.order_call (call_at, group_id, order_hash)
  select distinct p_now, blocked.group_id, blocked.order_hash
  from relay.receipt
  join relay.blocked on blocked.group_id = receipt.group_id
  join relay.conversion_outcome as outcome
    on outcome.conversion_id = blocked.head
    and outcome.attempt_id = receipt.attempt_id
    and outcome.outcome = 'SUBMITTED'
  where receipt.attempt_id = p_attempt_id;
$$;

comment on function relay.call_orders_of_attempt is
  'As relay.call_orders, for a receipt that has settled: its conversions are over without an outcome of their own. Reads what '
  'is blocked in its group. Called by functions, after the receipt is written; where nobody calls it, its orders are looked at '
  'within 10 minutes.';
