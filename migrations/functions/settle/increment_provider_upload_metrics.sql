create or replace function relay.increment_provider_upload_metrics(
  p_group_id integer,
  p_attempts integer,
  p_completed integer,
  p_failed integer,
  p_retry integer,
  p_held integer,
  p_submitted integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update relay.provider_upload_metrics
  set
    attempts_total = provider_upload_metrics.attempts_total + p_attempts,
    completed_total = provider_upload_metrics.completed_total + p_completed,
    failed_total = provider_upload_metrics.failed_total + p_failed,
    retry_total = provider_upload_metrics.retry_total + p_retry,
    held_total = provider_upload_metrics.held_total + p_held,
    submitted_total = provider_upload_metrics.submitted_total + p_submitted,
    updated_at = coalesce(p_now, pg_catalog.clock_timestamp())
  where provider_upload_metrics.group_id = p_group_id;
$$;

comment on function relay.increment_provider_upload_metrics is
  'Adds to a group''s running totals: requests in p_attempts, conversions in the others. Called by functions, inside the '
  'transaction that settles.';
