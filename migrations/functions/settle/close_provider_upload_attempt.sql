create or replace function relay.close_provider_upload_attempt(
  p_attempt_id bigint,
  p_http_status integer,
  p_provider_request_id text,
  p_error_code text,
  p_error_category text,
  p_duration_ms integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_group_id integer;
begin
  update relay.provider_upload_attempts
  set
    closed_at = v_now,
    state = 'CLOSED',
    http_status = p_http_status,
    provider_request_id = p_provider_request_id,
    error_code = p_error_code,
    error_category = p_error_category,
    completed_count = 0,
    failed_count = 0,
    retry_count = 0,
    held_count = 0,
    submitted_count = 0,
    duration_ms = p_duration_ms
  where provider_upload_attempts.attempt_id = p_attempt_id and provider_upload_attempts.closed_at is null
  returning provider_upload_attempts.group_id into v_group_id;
  if v_group_id is null then
    return false;
  end if;
  perform relay.increment_provider_upload_metrics(v_group_id, 1, 0, 0, 0, 0, 0, v_now);
  return true;
end;
$$;

comment on function relay.close_provider_upload_attempt is
  'Closes the ledger row of a request that decided nothing: its token was refused, or it was too large, and its conversions '
  'go out again at once under the same claim. Counts the request in the group''s metrics. False where it was closed before.';

grant execute on function relay.close_provider_upload_attempt to relay_service;
