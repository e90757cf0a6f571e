create or replace function relay.pause_task(
  p_task_key text,
  p_until timestamptz,      -- null: until resumed
  p_reason text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
begin
  if p_task_key = '' or p_until <= v_now or p_reason = '' then
    raise exception 'p_task_key and p_reason must say something, p_until must lie ahead' using errcode = 'CR001';
  end if;
  insert into relay.task_pause as task_pause (task_key, reason, paused_at, paused_until)
  values (p_task_key, p_reason, v_now, coalesce(p_until, 'infinity'))
  on conflict (task_key) do update
  set reason = excluded.reason, paused_at = excluded.paused_at, paused_until = excluded.paused_until;
end;
$$;

comment on function relay.pause_task is
  'Stops a task until a time or until resumed; a run that is going on is seen through. Raises CR001 for bad arguments.';

grant execute on function relay.pause_task to relay_service;
