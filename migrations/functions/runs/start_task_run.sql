create or replace function relay.start_task_run(
  p_task_key text,
  p_scheduled_time timestamptz,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_run_id bigint := relay.new_id(v_now);
begin
  -- Whatever runs at all keeps the weeks ahead: nobody else need remember to.
  if not relay.has_partition(v_now + interval '28 days') or not relay.has_partition(v_now) then
    perform relay.keep_partitions(8, v_now);
  end if;
  insert into relay.task_runs (run_id, task_key, scheduled_time, started_at)
  values (v_run_id, p_task_key, p_scheduled_time, v_now);
  return v_run_id;
end;
$$;

comment on function relay.start_task_run is 'Opens the history row of one invocation of a task; its id goes with all that it does. '
  'Makes partitions where fewer than four weeks lie ahead.';

grant execute on function relay.start_task_run to relay_service;
