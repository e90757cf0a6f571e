create or replace function relay.keep_receipt_rest(
  p_part bigint,
  p_group_id integer,
  p_sent bigint[],
  p_conversion_ids bigint[],
  p_left_part bigint,
  p_worlds jsonb,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  c_kept constant interval := interval '8 days';
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
begin
  with old as materialized (
    select receipt_rest.part
    from relay.receipt_rest
    where receipt_rest.kept_at < v_now - c_kept
    limit 100
    for update skip locked
  )
  delete from relay.receipt_rest using old where receipt_rest.part = old.part;
  insert into relay.receipt_rest (part, group_id, sent, conversion_ids, left_part, worlds, kept_at)
  values (p_part, p_group_id, p_sent, p_conversion_ids, p_left_part, p_worlds, v_now)
  on conflict (part) do nothing;
end;
$$;

comment on function relay.keep_receipt_rest is
  'Keeps which conversions stay behind while others of their request go again as a part, and what is known of all of them. '
  'Called before they are put there: without them it means nothing. Takes away what nobody came for in 8 days. Locks what it writes.';

grant execute on function relay.keep_receipt_rest to relay_service;
