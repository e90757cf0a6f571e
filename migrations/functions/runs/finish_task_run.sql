create or replace function relay.finish_task_run(
  p_run_id bigint,
  p_status text,
  p_requests_count bigint,
  p_http_429_count bigint,
  p_errors_count bigint,
  p_notes text,
  p_counters jsonb,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update relay.task_runs
  set
    ended_at = coalesce(p_now, pg_catalog.clock_timestamp()),
    status = p_status,
    requests_count = p_requests_count,
    http_429_count = p_http_429_count,
    errors_count = p_errors_count,
    notes = p_notes,
    counters = p_counters
  where task_runs.run_id = p_run_id and task_runs.ended_at is null;
  return found;
end;
$$;

comment on function relay.finish_task_run is 'Closes the history row of a run, once; false where it was closed before.';

grant execute on function relay.finish_task_run to relay_service;
