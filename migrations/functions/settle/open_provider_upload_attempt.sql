create or replace function relay.open_provider_upload_attempt(
  p_claim_token uuid,
  p_transport text,
  p_request_sha256 text,
  p_targets bigint[],       -- one entry per conversion of the claim, or a single one for all
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_lease_until timestamptz := v_now + pg_catalog.make_interval(secs => p_lease_seconds);
  v_claim relay.inflight;
  v_attempt_id bigint := relay.new_id(v_now);
begin
  update relay.inflight
  set sent_targets = p_targets, lease_until = v_lease_until
  where inflight.claim_token = p_claim_token and inflight.lease_until > v_now
  returning inflight.* into v_claim;
  if v_claim.claim_token is null then
    return null;
  end if;
  if pg_catalog.cardinality(p_targets) not in (1, pg_catalog.cardinality(v_claim.conversion_ids)) then
    raise exception 'p_targets must have one entry, or one per conversion of the claim' using errcode = 'CR002';
  end if;
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

  insert into relay.provider_upload_attempts (
    attempt_id, group_id, site_id, provider_key, run_id, claim_token, transport, request_sha256, conversions, is_probe,
    opened_at
  )
  select
    v_attempt_id, delivery_group.group_id, delivery_group.site_id, delivery_group.provider_key, v_claim.run_id,
    p_claim_token, p_transport, p_request_sha256, pg_catalog.cardinality(v_claim.conversion_ids), v_claim.is_probe, v_now
  from relay.delivery_group
  where delivery_group.group_id = v_claim.group_id;
  return v_attempt_id;
end;
$$;

comment on function relay.open_provider_upload_attempt is
  'Writes the ledger row of a request before it leaves, and gives the claim, the parts of it that wait and their slot a new '
  'lease. The attempt''s id; null where the claim was lost or has lapsed: then nothing may be sent. Raises CR002 where '
  'p_targets does not fit. Locks the claim, its slot, its other parts.';

grant execute on function relay.open_provider_upload_attempt to relay_service;
