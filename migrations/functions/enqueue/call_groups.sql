create or replace function relay.call_groups(
  p_group_ids integer[],
  p_due_at timestamptz[]
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- A plan that was made while there were few groups would read all of them for ever, at each settlement and each batch that
-- is taken in.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- Locked in the order of their ids, so that two callers cannot wait for each other.
  perform
  from (
    select come.group_id, come.due_at
    from unnest(p_group_ids, p_due_at) as come (group_id, due_at)
    order by come.group_id
  ) as called
  -- Group by group: as a plain join it may be turned round, and then reads all groups.
  cross join lateral (
    select
    from relay.delivery_group
    where delivery_group.group_id = called.group_id
      and delivery_group.hold_id is null
      and delivery_group.turn_at > greatest(
        called.due_at, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until
      )
    for no key update
  ) as locked;
  if not found then
    return;
  end if;

  update relay.delivery_group
  set turn_at = greatest(
    called.due_at, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until
  )
  from unnest(p_group_ids, p_due_at) as called (group_id, due_at)
  where called.group_id = delivery_group.group_id
    and delivery_group.hold_id is null
    and delivery_group.turn_at > greatest(
      called.due_at, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until
    );
end;
$$;

comment on function relay.call_groups is
  'Puts groups into the line no later than their due times (p_due_at[i] for p_group_ids[i], each group once), or when their '
  'throttle, circuit or pause ends. Writes nothing for a group that stands in line already, and nothing for a held one.';
