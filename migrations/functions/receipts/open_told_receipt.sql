create or replace function relay.open_told_receipt(
  p_attempt_id bigint,
  p_run_id bigint,
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  claim_token uuid, conversion_ids bigint[], retry_counts smallint[], targets bigint[], omitted smallint[], payloads jsonb[],
  part bigint, worlds jsonb, stayed_behind boolean
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
  v_own record;
  v_group_id integer;
  v_part bigint;
  v_rest relay.receipt_rest;
  v_stayed record;
  v_first_id bigint;
  v_last_id bigint;
  v_token uuid := pg_catalog.gen_random_uuid();
begin
  select opened.* from relay.open_receipt(p_attempt_id, p_run_id, p_lease_seconds, v_now) as opened into v_own;
  if v_own.claim_token is null then
    return;
  end if;
  select receipt.group_id, receipt.part from relay.receipt where receipt.attempt_id = p_attempt_id into v_group_id, v_part;
  delete from relay.receipt_rest
  where receipt_rest.part = v_part and receipt_rest.group_id = v_group_id
  returning receipt_rest.* into v_rest;
  -- What it tells of those that stayed behind it tells only where it speaks of all that went, and of nothing else.
  if not (v_rest.sent <@ v_own.conversion_ids and v_own.conversion_ids <@ v_rest.sent) then
    v_rest := null;
  end if;
  select pg_catalog.min(one.conversion_id), pg_catalog.max(one.conversion_id)
  from unnest(v_rest.conversion_ids) as one (conversion_id)
  into v_first_id, v_last_id;
  select
    pg_catalog.array_agg(stayed.conversion_id order by stayed.place) as conversion_ids,
    pg_catalog.array_agg(stayed.spot order by stayed.place) as spots,
    pg_catalog.array_agg(stayed.seq + 1 order by stayed.place) as seqs,
    pg_catalog.array_agg(stayed.retry_count order by stayed.place) as retry_counts,
    pg_catalog.array_agg(stayed.request_failures order by stayed.place) as request_failures,
    pg_catalog.array_agg(stayed.lost_claims order by stayed.place) as lost_claims,
    pg_catalog.array_agg(stayed.maybe_delivered order by stayed.place) as maybe_delivered,
    pg_catalog.array_agg(stayed.target order by stayed.place) as targets,
    pg_catalog.array_agg(stayed.omitted order by stayed.place) as omitted,
    pg_catalog.array_agg(stayed.part order by stayed.place) as parts
  from (
    select waiting.*, one.place
    from unnest(v_rest.conversion_ids) with ordinality as one (conversion_id, place)
    cross join lateral (
      select outcome.next_attempt_at
      from relay.conversion_outcome as outcome
      where outcome.conversion_id = one.conversion_id
        and outcome.conversion_id >= v_first_id
        and outcome.conversion_id <= v_last_id
      order by outcome.seq desc
      limit 1
    ) as latest
    -- Each by its whole key: as a plain join it may be turned round, and then reads all that waits in the group.
    cross join lateral (
      select ready.*, ready.ctid as spot
      from relay.ready
      where ready.group_id = v_group_id
        and ready.band in (0, 1)
        and ready.next_attempt_at = latest.next_attempt_at
        and ready.conversion_id = one.conversion_id
        and ready.part = v_rest.left_part
        and ready.expires_at > v_now
      limit 1
      for update skip locked
    ) as waiting
  ) as stayed
  into v_stayed;

  return query
  select
    v_own.claim_token, v_own.conversion_ids, v_own.retry_counts, v_own.targets, v_own.omitted, v_own.payloads, v_part,
    case
      when pg_catalog.cardinality(v_stayed.conversion_ids) = pg_catalog.cardinality(v_rest.conversion_ids) then v_rest.worlds
    end,
    false;
  -- All of them or none: where some went by themselves, so will the others.
  if pg_catalog.cardinality(v_stayed.conversion_ids) = pg_catalog.cardinality(v_rest.conversion_ids) then
    -- They are locked, and so lie where they were found.
    delete from relay.ready where ready.ctid = any (v_stayed.spots);
    insert into relay.inflight (
      claim_token, run_id, group_id, circuit_epoch, is_probe, quota_key, slot_no, slot_token, conversion_ids, seqs,
      retry_counts, request_failures, lost_claims, maybe_delivered, targets, omitted, parts, receipt_attempt_id,
      claimed_at, lease_until
    )
    select
      v_token, p_run_id, v_group_id, circuit.epoch, false, coalesce(delivery_group.quota_key, ''), 0, v_token,
      v_stayed.conversion_ids, v_stayed.seqs, v_stayed.retry_counts, v_stayed.request_failures, v_stayed.lost_claims,
      v_stayed.maybe_delivered, v_stayed.targets, v_stayed.omitted, v_stayed.parts, p_attempt_id, v_now,
      v_now + pg_catalog.make_interval(secs => p_lease_seconds)
    from relay.delivery_group
    join relay.provider_health_state as circuit on circuit.group_id = delivery_group.group_id
    where delivery_group.group_id = v_group_id;
    return query
    select
      v_token, v_stayed.conversion_ids, v_stayed.retry_counts, v_stayed.targets, v_stayed.omitted, '{}'::jsonb[],
      v_rest.left_part, null::jsonb, true;
  end if;
end;
$$;

comment on function relay.open_told_receipt is
  'As relay.open_receipt, with the part that its conversions went as; and where others stayed behind for what it tells, and '
  'all of them still do, a second row: those, under a claim of their own that sends nothing either (stayed_behind, without '
  'payloads), and with the first what may have become of all (worlds). Locks the receipt, what stayed behind.';

grant execute on function relay.open_told_receipt to relay_service;
