create or replace function relay.read_readiness(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  environment text,
  newest_migration text,
  oldest_program text,
  task_keys text[],
  quiet_seconds double precision[],
  paused boolean[]
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    deployment.environment, deployment.newest_migration, deployment.oldest_program,
    coalesce(standing.task_keys, '{}'), coalesce(standing.quiet_seconds, '{}'), coalesce(standing.paused, '{}')
  from relay.describe_deployment() as deployment
  cross join (
    select
      pg_catalog.array_agg(task.task_key order by task.task_key) as task_keys,
      pg_catalog.array_agg(task.quiet_seconds order by task.task_key) as quiet_seconds,
      pg_catalog.array_agg(task.paused_reason is not null order by task.task_key) as paused
    from relay.read_task_standing(p_now) as task
  ) as standing;
$$;

comment on function relay.read_readiness is
  'What a program needs to know of its database to say whether it is ready: what the database is, and for each task that was '
  'ever registered how long ago it last succeeded and whether it is paused. One row.';

grant execute on function relay.read_readiness to relay_service;
