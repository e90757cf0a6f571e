create or replace function relay.recover_offline_conversions(
  p_min_age_minutes integer,
  p_site_id uuid,           -- null: every site
  p_claim_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (claims integer, requeued integer, exhausted integer, attempts_settled integer, leases_freed integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
begin
  if p_min_age_minutes not between 0 and 100000 or p_claim_limit not between 1 and 1000 then
    raise exception 'p_min_age_minutes must lie in 0 to 100000, p_claim_limit in 1 to 1000' using errcode = 'CR001';
  end if;

  -- Before the claims, which would free the slots of their own uncounted.
  with dead as materialized (
    select upload_slot.quota_key, upload_slot.slot_no
    from relay.upload_slot
    where upload_slot.claim_token is not null and upload_slot.lease_until < v_now
    limit 1000
    for update skip locked
  )
  update relay.upload_slot
  set claim_token = null, lease_until = '-infinity'
  from dead
  where upload_slot.quota_key = dead.quota_key and upload_slot.slot_no = dead.slot_no;
  get diagnostics leases_freed = row_count;

  select returned.claims, returned.requeued, returned.exhausted
  from relay.return_lapsed_claims(p_claim_limit, p_min_age_minutes, p_site_id, v_now) as returned
  into claims, requeued, exhausted;

  -- A request whose claim is gone has an answer that nobody wrote down.
  with open_request as materialized (
    select attempt.attempt_id
    from relay.provider_upload_attempts as attempt
    where attempt.closed_at is null
      and attempt.opened_at <= v_now - pg_catalog.make_interval(mins => p_min_age_minutes)
      and (p_site_id is null or attempt.site_id = p_site_id)
      and not exists (select from relay.inflight where inflight.claim_token = attempt.claim_token)
    limit 1000
    for update skip locked
  )
  update relay.provider_upload_attempts
  set closed_at = v_now, state = 'AMBIGUOUS', error_code = 'CLAIM_LOST', error_category = 'AMBIGUOUS'
  from open_request
  where provider_upload_attempts.attempt_id = open_request.attempt_id;
  get diagnostics attempts_settled = row_count;

  return next;
end;
$$;

comment on function relay.recover_offline_conversions is
  'Puts back what crashed runs left: conversions of lapsed claims at least p_min_age_minutes old (at most p_claim_limit '
  'claims a call: call again until claims is 0), ledger rows left open (closed as AMBIGUOUS), slots of the dead. Never '
  'touches a live claim. One row of counts. Raises CR001 for bad arguments.';

grant execute on function relay.recover_offline_conversions to relay_service;
