create or replace function relay.settle_offline_conversions(
  p_claim_token uuid,
  p_attempt_id bigint,            -- null: nothing was sent
  p_outcomes text[],              -- one entry per conversion of the claim, in its order; so are the five that follow
  p_classes text[],
  p_codes text[],
  p_wait_seconds integer[],
  p_not_before timestamptz[],
  p_hold_scopes text[],           -- row or conversion_action where the conversion itself is parked
  p_hold_keys text[],
  p_circuit_result text,
  p_group_hold_scope text,        -- null: no hold of the whole group
  p_group_hold_code text,
  p_throttle_scope text,          -- null, group or quota_key
  p_throttle_seconds integer,
  p_http_status integer,
  p_provider_request_id text,
  p_error_code text,
  p_error_category text,
  p_duration_ms integer,
  p_keep_slot boolean,            -- other parts of the claim go on with it
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  accepted boolean,
  circuit_change text,
  hold_opened boolean,
  completed integer,
  failed integer,
  retry integer,
  held integer,
  submitted integer,
  released integer
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    settled.accepted, settled.circuit_change, settled.hold_opened, settled.completed, settled.failed, settled.retry,
    settled.held, settled.submitted, settled.released
  from relay.settle_claimed_conversions(
    p_claim_token, p_attempt_id, p_outcomes, p_classes, p_codes, p_wait_seconds, p_not_before, p_hold_scopes, p_hold_keys,
    null, null, p_circuit_result, p_group_hold_scope, p_group_hold_code, null, p_throttle_scope, p_throttle_seconds,
    p_http_status, p_provider_request_id, p_error_code, p_error_category, p_duration_ms, p_keep_slot, p_now
  ) as settled;
$$;

comment on function relay.settle_offline_conversions is
  'For programs of before relay.settle_claimed_conversions: the same, with nothing left out, no parts and the transport as it is.';

grant execute on function relay.settle_offline_conversions to relay_service;
