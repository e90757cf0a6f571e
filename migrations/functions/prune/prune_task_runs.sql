create or replace function relay.prune_task_runs(
  p_retention_days integer,
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
  v_before bigint := relay.id_floor(v_now - pg_catalog.make_interval(days => p_retention_days));
  v_runs integer;
begin
  if p_retention_days not between 30 and 36500 or p_limit not between 1 and 100000 then
    raise exception 'p_retention_days must lie in 30 to 36500, p_limit in 1 to 100000' using errcode = 'CR001';
  end if;
  -- The trigger lets runs below this be deleted, until the end of this call.
  perform pg_catalog.set_config('relay.prune_runs_before', v_before::text, true);
  with old as materialized (
    select task_runs.run_id
    from relay.task_runs
    where task_runs.run_id < v_before
    order by task_runs.run_id
    limit p_limit
    for update skip locked
  )
  delete from relay.task_runs using old where task_runs.run_id = old.run_id;
  get diagnostics v_runs = row_count;
  perform pg_catalog.set_config('relay.prune_runs_before', '', true);
  return v_runs;
end;
$$;

comment on function relay.prune_task_runs is
  'Deletes the runs that began more than p_retention_days ago (30 to 36500), the oldest first, at most p_limit (1 to '
  '100000); says how many: call again while it is p_limit. The only way in which a run is ever deleted. Raises CR001 for '
  'bad arguments.';

grant execute on function relay.prune_task_runs to relay_service;
