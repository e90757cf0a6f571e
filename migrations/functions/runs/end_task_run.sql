create or replace function relay.end_task_run(
  p_run_id bigint,
  p_status text,
  p_requests_count bigint,
  p_http_429_count bigint,
  p_errors_count bigint,
  p_error_code text,      -- null where it succeeded
  p_notes text,
  p_counters jsonb,
  p_lock_id integer,      -- null where it has none
  p_fence bigint,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_lost boolean := false;
  v_task_key text;
begin
  if p_status not in ('DONE', 'ERROR') or (p_status = 'DONE') <> (p_error_code is null) then
    raise exception 'p_status must be DONE, or ERROR with p_error_code' using errcode = 'CR001';
  end if;
  if p_lock_id is not null then
    update relay.task_lock
    set owner = null, run_id = null, acquired_at = null, lease_until = '-infinity'
    where task_lock.lock_id = p_lock_id and task_lock.fence = p_fence and task_lock.run_id = p_run_id;
    v_lost := not found;
  end if;
  update relay.task_runs
  set
    ended_at = v_now,
    status = case when v_lost then 'ERROR' else p_status end,
    error_code = case when v_lost then 'LOCK_LOST' else p_error_code end,
    requests_count = p_requests_count,
    http_429_count = p_http_429_count,
    errors_count = p_errors_count,
    notes = p_notes,
    counters = p_counters
  where task_runs.run_id = p_run_id and task_runs.ended_at is null
  returning task_runs.task_key into v_task_key;
  if not found then
    return case when v_lost then 'LOST' else 'CLOSED' end;
  end if;
  if v_lost then
    return 'LOST';
  end if;
  update relay.task_state
  set
    status = case p_status when 'DONE' then 'IDLE' else 'ERROR' end,
    last_success_at = case p_status when 'DONE' then v_now else task_state.last_success_at end,
    last_error_at = case p_status when 'ERROR' then v_now else task_state.last_error_at end,
    error_code = case p_status when 'ERROR' then p_error_code else task_state.error_code end,
    error_message = case p_status when 'ERROR' then p_notes else task_state.error_message end,
    consecutive_failures = case p_status when 'ERROR' then task_state.consecutive_failures + 1 else 0 end
  where task_state.task_key = v_task_key;
  return 'ENDED';
end;
$$;

comment on function relay.end_task_run is
  'Closes the history row of a run, once, writes its task''s state and gives its lock back. ENDED; CLOSED where the row was '
  'closed before; LOST where the lock was another''s by then: the history says LOCK_LOST and nothing else is written. '
  'Raises CR001 for bad arguments.';

grant execute on function relay.end_task_run to relay_service;
