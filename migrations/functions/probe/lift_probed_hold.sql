create or replace function relay.lift_probed_hold(
  p_hold_id bigint,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
  v_group_id integer;
begin
  -- Groups before holds, in the order of their ids: those that it stops, and the one whose conversions it parks.
  perform
  from relay.delivery_group
  where delivery_group.hold_id = p_hold_id
    or delivery_group.group_id = (select hold.group_id from relay.hold where hold.hold_id = p_hold_id)
  order by delivery_group.group_id
  for no key update;
  v_now := coalesce(p_now, pg_catalog.clock_timestamp());
  update relay.hold
  set lifted_at = v_now
  where hold.hold_id = p_hold_id and hold.lifted_at is null
  returning hold.group_id into v_group_id;
  if not found then
    return false;
  end if;

  with freed as (
    delete from relay.held
    where held.hold_id = p_hold_id
    returning held.*
  ), told as (
    insert into relay.conversion_outcome (conversion_id, seq, outcome, code, retry_count, next_attempt_at, recorded_at)
    select freed.conversion_id, freed.seq + 1, 'REQUEUED', 'HOLD_LIFTED', freed.retry_count, v_now, v_now
    from freed
  )
  insert into relay.ready (
    group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, retry_count, omitted, maybe_delivered
  )
  select
    freed.group_id, case when freed.expires_at < v_now + interval '48 hours' then 0 else 1 end, v_now,
    freed.conversion_id, freed.expires_at, freed.target, freed.seq + 1, freed.retry_count, freed.omitted,
    freed.maybe_delivered
  from freed;

  -- A group that something else of its own stops stays stopped, by that.
  update relay.delivery_group
  set
    hold_id = other.hold_id,
    turn_at = case
      when other.hold_id is not null then 'infinity'
      else greatest(v_now, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until)
    end
  from relay.delivery_group as stopped
  left join lateral (
    select hold.hold_id
    from relay.hold
    where hold.group_id = stopped.group_id
      and hold.scope in ('site', 'client', 'provider')
      and hold.lifted_at is null
      and hold.hold_id <> p_hold_id
    order by hold.hold_id
    limit 1
  ) as other on true
  where stopped.hold_id = p_hold_id and delivery_group.group_id = stopped.group_id;
  if v_group_id is not null then
    perform relay.call_groups(array[v_group_id], array[v_now]);
  end if;
  return true;
end;
$$;

comment on function relay.lift_probed_hold is
  'Lifts one hold, of whatever scope, after a probe that passed: what it parked goes again, and every group that it stopped '
  'stands in line. False where it was lifted before. Locks: its groups in the order of their ids, then the hold.';

grant execute on function relay.lift_probed_hold to relay_service;
