create or replace function relay.close_lost_runs(
  p_age_hours integer,
  p_limit integer,
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
  v_closed integer;
begin
  if p_age_hours not between 1 and 720 or p_limit not between 1 and 10000 then
    raise exception 'p_age_hours must lie in 1 to 720, p_limit in 1 to 10000' using errcode = 'CR001';
  end if;
  with lost as materialized (
    select task_runs.run_id
    from relay.task_runs
    where task_runs.ended_at is null
      and task_runs.started_at < v_now - pg_catalog.make_interval(hours => p_age_hours)
      and not exists (
        select
        from relay.task_lock
        where task_lock.run_id = task_runs.run_id and task_lock.lease_until > v_now
      )
    order by task_runs.started_at
    limit p_limit
    for update of task_runs skip locked
  )
  select pg_catalog.count(relay.close_lost_run(lost.run_id, v_now) is null)
  from lost
  into v_closed;
  return v_closed;
end;
$$;

comment on function relay.close_lost_runs is
  'Closes runs that began p_age_hours ago (1 to 720) and never ended, as errors, at most p_limit (1 to 10000); one that still '
  'renews its lock is alive. Says how many. Raises CR001 for bad arguments.';

grant execute on function relay.close_lost_runs to relay_service;
