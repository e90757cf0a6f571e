create or replace function relay.read_task_standing(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  task_key text, status text, last_run_at timestamptz, last_success_at timestamptz, last_error_at timestamptz,
  error_code text, error_message text, consecutive_failures integer, quiet_seconds double precision,
  paused_reason text, paused_until timestamptz, locked_by text, lease_until timestamptz
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select
    task_state.task_key,
    task_state.status,
    task_state.last_run_at,
    task_state.last_success_at,
    task_state.last_error_at,
    task_state.error_code,
    task_state.error_message,
    task_state.consecutive_failures,
    greatest(
      0, extract(epoch from clock.now - coalesce(task_state.last_success_at, task_state.registered_at))
    )::double precision,
    stopped.reason,
    nullif(stopped.paused_until, 'infinity'),
    task_lock.owner,
    task_lock.lease_until
  from clock
  cross join relay.task_state
  left join lateral (
    select paused.reason, paused.paused_until
    from (
      select task_pause.reason, task_pause.paused_until
      from relay.task_pause
      where task_pause.task_key = task_state.task_key
      union all
      select pause.reason, pause.paused_until
      from relay.pause
      where pause.scope = 'provider' and task_state.task_key = 'upload:' || pause.provider_key
    ) as paused
    where paused.paused_until > clock.now
    order by paused.paused_until desc
    limit 1
  ) as stopped on true
  left join relay.task_lock
    on task_lock.task_key = task_state.task_key and task_lock.lease_until > clock.now
  order by task_state.task_key;
$$;

comment on function relay.read_task_standing is
  'Each task that was ever registered: what it did last, what stops it, who runs it under a lock. quiet_seconds: since its '
  'last success, or since it was registered. paused_until is null until it is resumed.';

grant execute on function relay.read_task_standing to relay_service, relay_operator;
