create or replace function relay.hold_task_lock(
  p_lock_id integer,
  p_fence bigint
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform
  from relay.task_lock
  where task_lock.lock_id = p_lock_id and task_lock.fence = p_fence and task_lock.owner is not null
  for share;
  if not found then
    raise exception 'the lock % has another owner', p_lock_id using errcode = 'CR007';
  end if;
  return true;
end;
$$;

comment on function relay.hold_task_lock is
  'Keeps the lock of an exclusive task with its owner until the end of this transaction: what the owner writes in the same '
  'statement is written as the owner, or not at all. Raises CR007 where the lock has another owner by now.';

grant execute on function relay.hold_task_lock to relay_service;
