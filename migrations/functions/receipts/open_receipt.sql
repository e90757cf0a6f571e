create or replace function relay.open_receipt(
  p_attempt_id bigint,
  p_run_id bigint,
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  claim_token uuid, conversion_ids bigint[], retry_counts smallint[], targets bigint[], omitted smallint[], payloads jsonb[]
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_receipt relay.receipt;
  v_token uuid := pg_catalog.gen_random_uuid();
  v_first_id bigint;
  v_last_id bigint;
begin
  update relay.receipt
  set state = 'RESOLVED', settled_at = v_now
  where receipt.attempt_id = p_attempt_id and receipt.state = 'PENDING'
  returning receipt.* into v_receipt;
  if v_receipt.attempt_id is null then
    return;
  end if;
  select pg_catalog.min(part.conversion_id), pg_catalog.max(part.conversion_id)
  from unnest(v_receipt.conversion_ids) as part (conversion_id)
  into v_first_id, v_last_id;

  return query
  with submitted as materialized (
    select
      part.conversion_id, part.place, latest.seq, latest.retry_count, coalesce(latest.omitted, 0::smallint) as omitted,
      coalesce(v_receipt.targets[part.place], v_receipt.targets[1]) as target, conversion.payload
    from unnest(v_receipt.conversion_ids) with ordinality as part (conversion_id, place)
    cross join lateral (
      select outcome.seq, outcome.retry_count, outcome.omitted, outcome.outcome, outcome.attempt_id
      from relay.conversion_outcome as outcome
      where outcome.conversion_id = part.conversion_id
        and outcome.conversion_id >= v_first_id
        and outcome.conversion_id <= v_last_id
      order by outcome.seq desc
      limit 1
    ) as latest
    cross join lateral (
      select conversion.payload
      from relay.conversion
      where conversion.conversion_id = part.conversion_id
        and conversion.conversion_id >= v_first_id
        and conversion.conversion_id <= v_last_id
      limit 1
    ) as conversion
    where latest.outcome = 'SUBMITTED' and latest.attempt_id = p_attempt_id
  ), told as (
    -- Back to work, so that the accounts know it there.
    insert into relay.conversion_outcome (
      conversion_id, seq, outcome, code, attempt_id, retry_count, omitted, recorded_at
    )
    select
      submitted.conversion_id, submitted.seq + 1, 'REQUEUED', 'RECEIPT_TOLD', p_attempt_id, submitted.retry_count,
      nullif(submitted.omitted, 0), v_now
    from submitted
  ), batch as (
    -- sent_targets: should this claim be lost, its conversions may have been delivered.
    insert into relay.inflight (
      claim_token, run_id, group_id, circuit_epoch, is_probe, quota_key, slot_no, slot_token, conversion_ids, seqs,
      retry_counts, request_failures, lost_claims, maybe_delivered, targets, sent_targets, omitted, receipt_attempt_id,
      claimed_at, lease_until
    )
    select
      v_token, p_run_id, v_receipt.group_id, circuit.epoch, false, coalesce(delivery_group.quota_key, ''), 0, v_token,
      arrays.conversion_ids, arrays.seqs, arrays.retry_counts, arrays.zeros, arrays.zeros, arrays.maybe_delivered,
      arrays.targets, arrays.targets, arrays.omitted, p_attempt_id, v_now,
      v_now + pg_catalog.make_interval(secs => p_lease_seconds)
    from (
      select
        pg_catalog.array_agg(submitted.conversion_id order by submitted.place) as conversion_ids,
        pg_catalog.array_agg(submitted.seq + 2 order by submitted.place) as seqs,
        pg_catalog.array_agg(submitted.retry_count order by submitted.place) as retry_counts,
        pg_catalog.array_agg(0::smallint) as zeros,
        pg_catalog.array_agg(v_receipt.maybe_delivered) as maybe_delivered,
        pg_catalog.array_agg(submitted.target order by submitted.place) as targets,
        pg_catalog.array_agg(submitted.omitted order by submitted.place) as omitted
      from submitted
      having pg_catalog.count(*) > 0
    ) as arrays
    join relay.delivery_group on delivery_group.group_id = v_receipt.group_id
    join relay.provider_health_state as circuit on circuit.group_id = v_receipt.group_id
    returning inflight.*
  )
  select
    batch.claim_token, batch.conversion_ids, batch.retry_counts, batch.targets, batch.omitted,
    (select pg_catalog.array_agg(submitted.payload order by submitted.place) from submitted)
  from batch;
end;
$$;

comment on function relay.open_receipt is
  'Takes a receipt apart: each of its conversions goes on by itself, under a claim that sends nothing and is settled as any '
  'other. One row, with arrays of one entry per conversion; none where the receipt was settled before. A claim that is lost '
  'sends them again. Locks the receipt.';

grant execute on function relay.open_receipt to relay_service;
