create or replace function relay.break_task_lock(
  p_lock_id integer
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update relay.task_lock
  set owner = null, run_id = null, acquired_at = null, lease_until = '-infinity', fence = task_lock.fence + 1
  where task_lock.lock_id = p_lock_id and task_lock.owner is not null;
  return found;
end;
$$;

comment on function relay.break_task_lock is
  'Takes a lock from its owner, who writes nothing more under it and closes its history as LOCK_LOST, with what it had '
  'counted; the history of one that is dead is closed by relay.close_lost_runs. False where nobody had it. Waits for what the '
  'owner is writing at this moment.';

grant execute on function relay.break_task_lock to relay_service;
