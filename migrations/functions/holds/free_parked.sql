create or replace function relay.free_parked(
  p_hold_ids bigint[],      -- that were lifted
  p_limit integer,
  p_now timestamptz
)
returns table (conversions integer, group_ids integer[])
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
begin
  with parked as materialized (
    select held.*
    from relay.held
    where held.hold_id = any (p_hold_ids)
    limit p_limit
    for update skip locked
  ), gone as (
    delete from relay.held using parked where held.conversion_id = parked.conversion_id
  ), told as (
    insert into relay.conversion_outcome (conversion_id, seq, outcome, code, retry_count, next_attempt_at, recorded_at)
    select parked.conversion_id, parked.seq + 1, 'REQUEUED', 'HOLD_LIFTED', parked.retry_count, p_now, p_now
    from parked
  ), back as (
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, retry_count, omitted, maybe_delivered
    )
    select
      parked.group_id, case when parked.expires_at < p_now + interval '48 hours' then 0 else 1 end, p_now,
      parked.conversion_id, parked.expires_at, parked.target, parked.seq + 1, parked.retry_count, parked.omitted,
      parked.maybe_delivered
    from parked
    returning ready.group_id
  )
  select pg_catalog.count(*), pg_catalog.array_agg(distinct back.group_id) from back into conversions, group_ids;
  update relay.hold
  set freeing = false
  where hold.hold_id = any (p_hold_ids)
    and hold.freeing
    and not exists (select from relay.held where held.hold_id = hold.hold_id);
  return next;
end;
$$;

comment on function relay.free_parked is
  'Sends at most p_limit conversions that these holds parked to work again, those that nobody has locked; a hold that parks '
  'nothing any more is not freeing any more. One row: how many, and whose. Callers call the groups. Called by functions.';
