create or replace function relay.register_tasks(
  p_task_keys text[],
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_registered integer;
begin
  insert into relay.task_state (task_key, status, registered_at)
  select key.task_key, 'IDLE', v_now
  from unnest(p_task_keys) as key(task_key)
  where not exists (select from relay.task_state where task_state.task_key = key.task_key)
  on conflict do nothing;
  get diagnostics v_registered = row_count;
  return v_registered;
end;
$$;

comment on function relay.register_tasks is
  'Makes a row of relay.task_state for each task that has none, before it has ever run; says how many were made. p_task_keys: '
  'one key each.';

grant execute on function relay.register_tasks to relay_service;
