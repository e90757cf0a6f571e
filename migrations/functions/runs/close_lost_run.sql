create or replace function relay.close_lost_run(
  p_run_id bigint,
  p_now timestamptz
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_task_key text;
begin
  update relay.task_runs
  set
    ended_at = p_now,
    status = 'ERROR',
    error_code = 'RUN_LOST',
    errors_count = 1,
    notes = 'the program ended without a word'
  where task_runs.run_id = p_run_id and task_runs.ended_at is null
  returning task_runs.task_key into v_task_key;
  update relay.task_state
  set
    status = case when task_state.last_run_id = p_run_id then 'ERROR' else task_state.status end,
    last_error_at = p_now,
    error_code = 'RUN_LOST',
    error_message = 'the program ended without a word',
    consecutive_failures = task_state.consecutive_failures + 1
  where task_state.task_key = v_task_key;
end;
$$;

comment on function relay.close_lost_run is 'Closes the history row of a run whose program is gone, as an error; nothing where it is closed.';
