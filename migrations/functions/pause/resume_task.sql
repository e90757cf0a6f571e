create or replace function relay.resume_task(
  p_task_key text,
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
begin
  delete from relay.task_pause where task_pause.task_key = p_task_key and task_pause.paused_until > v_now;
  return found;
end;
$$;

comment on function relay.resume_task is 'Lets a paused task go on with its next call. False where it was not paused.';

grant execute on function relay.resume_task to relay_service;
