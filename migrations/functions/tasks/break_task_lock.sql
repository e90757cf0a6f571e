create or replace function relay.break_task_lock(
  p_lock_id integer,
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
  v_run_id bigint;
begin
  select task_lock.run_id from relay.task_lock where task_lock.lock_id = p_lock_id for update into v_run_id;
  if v_run_id is null then
    return false;
  end if;
  update relay.task_lock
  set owner = null, run_id = null, acquired_at = null, lease_until = '-infinity', fence = task_lock.fence + 1
  where task_lock.lock_id = p_lock_id;
  perform relay.close_lost_run(v_run_id, v_now);
  return true;
end;
$$;

comment on function relay.break_task_lock is
  'Takes a lock from its owner, who writes nothing more under it, and closes the owner''s run as lost. False where nobody had '
  'it. Waits for what the owner is writing at this moment.';

grant execute on function relay.break_task_lock to relay_service;
