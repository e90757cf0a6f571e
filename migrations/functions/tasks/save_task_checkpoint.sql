create or replace function relay.save_task_checkpoint(
  p_task_key text,
  p_checkpoint jsonb  -- null: the next run begins at the beginning
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update relay.task_state set checkpoint = p_checkpoint where task_state.task_key = p_task_key;
  return found;
end;
$$;

comment on function relay.save_task_checkpoint is
  'Writes down where a long task goes on, for the run after a crash; false where the task is unknown. Its run calls it under '
  'its lock.';

grant execute on function relay.save_task_checkpoint to relay_service;
