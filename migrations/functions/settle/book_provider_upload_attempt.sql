create or replace function relay.book_provider_upload_attempt(
  p_claim_token uuid,
  p_transport text,
  p_request_sha256 text,
  p_targets bigint[],       -- one entry per conversion of the claim, or a single one for all
  p_lease_seconds integer,
  p_wait_seconds integer default 0,  -- the longest wait for the request budget that is worth it
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (attempt_id bigint, wait_ms integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_lease_until timestamptz;
  v_claim relay.inflight;
  v_reserved boolean;
  v_leaves_at timestamptz;
begin
  select inflight.* from relay.inflight where inflight.claim_token = p_claim_token for no key update into v_claim;
  if v_claim.claim_token is null or v_claim.lease_until <= v_now then
    return;
  end if;
  if pg_catalog.cardinality(p_targets) not in (1, pg_catalog.cardinality(v_claim.conversion_ids)) then
    raise exception 'p_targets must have one entry, or one per conversion of the claim' using errcode = 'CR002';
  end if;
  perform
  from relay.upload_slot
  where upload_slot.quota_key = v_claim.quota_key
    and upload_slot.slot_no = v_claim.slot_no
    and upload_slot.claim_token = v_claim.slot_token
  for no key update;
  select booked.reserved, booked.leaves_at
  from relay.reserve_request(v_claim.quota_key, p_wait_seconds, v_now) as booked
  into v_reserved, v_leaves_at;
  wait_ms := pg_catalog.ceil(1000 * extract(epoch from v_leaves_at - v_now));
  if not v_reserved then
    return next;
    return;
  end if;

  v_lease_until := v_leaves_at + pg_catalog.make_interval(secs => p_lease_seconds);
  update relay.inflight
  set sent_targets = p_targets, lease_until = v_lease_until
  where inflight.claim_token = p_claim_token;
  update relay.upload_slot
  set lease_until = v_lease_until
  where upload_slot.quota_key = v_claim.quota_key
    and upload_slot.slot_no = v_claim.slot_no
    and upload_slot.claim_token = v_claim.slot_token;
  -- The other parts of a claim that was cut wait for this request, and must not lapse meanwhile.
  if v_claim.slot_token <> p_claim_token then
    update relay.inflight
    set lease_until = v_lease_until
    where inflight.slot_token = v_claim.slot_token
      and inflight.claim_token <> p_claim_token
      and inflight.lease_until > v_now;
  end if;

  perform relay.extend_probe(v_claim, v_lease_until);

  attempt_id := relay.new_id(v_now);
  insert into relay.provider_upload_attempts (
    attempt_id, group_id, site_id, provider_key, run_id, claim_token, transport, request_sha256, conversions, is_probe,
    opened_at
  )
  select
    attempt_id, delivery_group.group_id, delivery_group.site_id, delivery_group.provider_key, v_claim.run_id,
    p_claim_token, p_transport, p_request_sha256, pg_catalog.cardinality(v_claim.conversion_ids), v_claim.is_probe, v_now
  from relay.delivery_group
  where delivery_group.group_id = v_claim.group_id;
  return next;
end;
$$;

comment on function relay.book_provider_upload_attempt is
  'Writes the ledger row of a request before it leaves, takes the request from the budget of its quota key, and gives the '
  'claim, the parts of it that wait and their slot a new lease. One row: the attempt''s id, and how long to wait before it '
  'leaves. attempt_id null: the budget is used up, nothing was written, and wait_ms says when to ask again. No row: the claim '
  'was lost or has lapsed. Without an attempt nothing may be sent. Raises CR002 where p_targets does not fit. Locks the '
  'claim, its slot, the quota where it has a budget, the claim''s other parts, the circuits that it probes.';

grant execute on function relay.book_provider_upload_attempt to relay_service;
