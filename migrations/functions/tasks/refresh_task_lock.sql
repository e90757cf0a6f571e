create or replace function relay.refresh_task_lock(
  p_lock_id integer,
  p_fence bigint,
  p_lease_seconds integer,
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
  if p_lease_seconds not between 1 and 3600 then
    raise exception 'p_lease_seconds must lie in 1 to 3600' using errcode = 'CR001';
  end if;
  update relay.task_lock
  set lease_until = v_now + pg_catalog.make_interval(secs => p_lease_seconds)
  where task_lock.lock_id = p_lock_id and task_lock.fence = p_fence and task_lock.owner is not null;
  return found;
end;
$$;

comment on function relay.refresh_task_lock is
  'Renews the lease of a lock; false where it has another owner by now. A lease that lapsed unnoticed is still its owner''s '
  'until somebody takes it. Raises CR001 for bad arguments.';

grant execute on function relay.refresh_task_lock to relay_service;
