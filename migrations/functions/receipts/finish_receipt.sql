create or replace function relay.finish_receipt(
  p_attempt_id bigint,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_receipt relay.receipt;
begin
  update relay.receipt
  set state = 'SETTLED', outcome = 'DELIVERED', settled_at = v_now
  where receipt.attempt_id = p_attempt_id and receipt.state = 'PENDING'
  returning receipt.* into v_receipt;
  if v_receipt.attempt_id is null then
    return 0;
  end if;
  perform relay.call_orders(array[v_receipt.group_id], v_receipt.conversion_ids, v_now);
  perform relay.increment_provider_upload_metrics(
    v_receipt.group_id, 0, pg_catalog.cardinality(v_receipt.conversion_ids), 0, 0, 0, 0, v_now
  );
  return pg_catalog.cardinality(v_receipt.conversion_ids);
end;
$$;

comment on function relay.finish_receipt is
  'Takes down that every conversion of a request was delivered: one write, however many they are. Says how many; 0 where the '
  'receipt was settled before. Locks the receipt, metrics.';

grant execute on function relay.finish_receipt to relay_service;
