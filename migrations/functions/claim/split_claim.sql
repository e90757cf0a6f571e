create or replace function relay.split_claim(
  p_claim_token uuid,
  p_parts integer[],        -- one entry per conversion of the claim, in its order: the part that it goes to
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (part integer, claim_token uuid)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_lease_until timestamptz := v_now + pg_catalog.make_interval(secs => p_lease_seconds);
  v_claim relay.inflight;
begin
  -- A claim that has lapsed may have lost its slot to another: a new lease for its parts would let one upload too many out.
  delete from relay.inflight
  where inflight.claim_token = p_claim_token and inflight.lease_until > v_now
  returning inflight.* into v_claim;
  if v_claim.claim_token is null then
    return;
  end if;
  if pg_catalog.cardinality(p_parts) <> pg_catalog.cardinality(v_claim.conversion_ids) then
    raise exception 'p_parts must have one entry per conversion of the claim' using errcode = 'CR002';
  end if;
  update relay.upload_slot
  set lease_until = v_lease_until
  where upload_slot.quota_key = v_claim.quota_key
    and upload_slot.slot_no = v_claim.slot_no
    and upload_slot.claim_token = v_claim.slot_token;
  -- The other parts of a claim that was cut before take the same slot in turn: none may lapse before its turn, or outlive it.
  if v_claim.slot_token <> p_claim_token then
    update relay.inflight
    set lease_until = v_lease_until
    where inflight.slot_token = v_claim.slot_token and inflight.lease_until > v_now;
  end if;
  perform relay.extend_probe(v_claim, v_lease_until);

  return query
  with piece as (
    select
      pg_catalog.gen_random_uuid() as claim_token, row.part,
      pg_catalog.array_agg(row.conversion_id order by row.place) as conversion_ids,
      pg_catalog.array_agg(row.seq order by row.place) as seqs,
      pg_catalog.array_agg(row.retry_count order by row.place) as retry_counts,
      pg_catalog.array_agg(row.request_failures order by row.place) as request_failures,
      pg_catalog.array_agg(row.lost_claims order by row.place) as lost_claims,
      -- What an earlier request of this claim may have delivered stays perhaps delivered.
      pg_catalog.array_agg(row.maybe_delivered order by row.place) as maybe_delivered,
      pg_catalog.array_agg(coalesce(v_claim.sent_targets[row.place], v_claim.sent_targets[1], row.target) order by row.place)
        as targets,
      case when v_claim.omitted is not null then pg_catalog.array_agg(row.omitted order by row.place) end as omitted,
      case when v_claim.parts is not null then pg_catalog.array_agg(row.old_part order by row.place) end as parts
    from unnest(
      p_parts, v_claim.conversion_ids, v_claim.seqs, v_claim.retry_counts, v_claim.request_failures, v_claim.lost_claims,
      v_claim.maybe_delivered, v_claim.targets, v_claim.omitted, v_claim.parts
    ) with ordinality as row (
      part, conversion_id, seq, retry_count, request_failures, lost_claims, maybe_delivered, target, omitted, old_part, place
    )
    group by row.part
  ), made as (
    insert into relay.inflight (
      claim_token, run_id, group_id, circuit_epoch, is_probe, quota_key, slot_no, slot_token, conversion_ids, seqs,
      retry_counts, request_failures, lost_claims, maybe_delivered, targets, omitted, parts, receipt_attempt_id, claimed_at,
      lease_until
    )
    select
      piece.claim_token, v_claim.run_id, v_claim.group_id, v_claim.circuit_epoch, v_claim.is_probe, v_claim.quota_key,
      v_claim.slot_no, v_claim.slot_token, piece.conversion_ids, piece.seqs, piece.retry_counts, piece.request_failures, piece.lost_claims,
      piece.maybe_delivered, piece.targets, piece.omitted, piece.parts, v_claim.receipt_attempt_id, v_claim.claimed_at,
      v_lease_until
    from piece
  )
  select piece.part, piece.claim_token from piece order by piece.part;
end;
$$;

comment on function relay.split_claim is
  'Cuts a claim into parts, each with a token and a lease of its own, in one transaction: rows that go in different '
  'requests, or halves of a request that was refused without naming a row. The slot and the other parts of a claim that was '
  'cut before get the same lease. Answers the parts in order; nothing where the claim was lost or has lapsed. Raises CR002 '
  'where p_parts does not fit the claim. Locks the claim, its slot, its other parts, the circuits that it probes.';

grant execute on function relay.split_claim to relay_service;
