create or replace function relay.read_task_pauses(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (task_key text, reason text, paused_at timestamptz, paused_until timestamptz)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select task_pause.task_key, task_pause.reason, task_pause.paused_at, nullif(task_pause.paused_until, 'infinity')
  from clock
  join relay.task_pause on task_pause.paused_until > clock.now
  order by task_pause.task_key;
$$;

comment on function relay.read_task_pauses is 'Which tasks an operator has stopped, with the reason; paused_until is null until resumed.';

grant execute on function relay.read_task_pauses to relay_service, relay_operator;
