create or replace function relay.open_provider_upload_attempt(
  p_claim_token uuid,
  p_transport text,
  p_request_sha256 text,
  p_targets bigint[],       -- one entry per conversion of the claim, or a single one for all
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns bigint
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- A program that knows of no wait must not take one for a lost claim: its request leaves, and the budget pays later.
  select booked.attempt_id
  from relay.book_provider_upload_attempt(
    p_claim_token, p_transport, p_request_sha256, p_targets, p_lease_seconds, 86400, p_now
  ) as booked;
$$;

comment on function relay.open_provider_upload_attempt is
  'For programs of before relay.book_provider_upload_attempt: the attempt''s id, null where the claim was lost. Its request '
  'leaves at once, also where the budget would have it wait.';

grant execute on function relay.open_provider_upload_attempt to relay_service;
