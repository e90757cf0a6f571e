create or replace function relay.wake_groups(
  p_now timestamptz
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  c_orders constant integer := 1000;
  c_parked constant integer := 1000;
  v_last timestamptz;
  v_since timestamptz;
  v_woken integer;
begin
  -- Once in 30 s is often enough, and whoever finds another at it leaves it to him.
  select upkeep.done_at
  from relay.upkeep
  where upkeep.name = 'wake_groups' and upkeep.done_at <= p_now - interval '30 seconds'
  for update skip locked
  into v_last;
  if not found then
    return 0;
  end if;
  update relay.upkeep set done_at = p_now where upkeep.name = 'wake_groups';
  -- What was there at the last look was found by it, and only what is newer is looked for: in front of that lie the index
  -- entries of rows that are gone. Every 5 minutes everything is, for a transaction that lasted long.
  update relay.upkeep
  set done_at = p_now
  where upkeep.name = 'wake_all_groups' and upkeep.done_at <= p_now - interval '5 minutes';
  v_since := case when found then '-infinity' else v_last - interval '1 minute' end;

  -- Claims that lapsed so long ago that claimers no longer look for them.
  perform from relay.inflight where inflight.lease_until < p_now;
  if found then
    perform relay.return_lapsed_claims(100, 0, null, p_now);
  end if;

  -- And orders that were called while nobody claimed.
  with forgotten as materialized (
    select order_call.call_at, order_call.call_id
    from relay.order_call
    where order_call.call_at <= p_now - interval '5 minutes'
    order by order_call.call_at, order_call.call_id
    limit 10000
    for update skip locked
  )
  update relay.order_call
  set call_at = p_now
  from forgotten
  where order_call.call_at = forgotten.call_at and order_call.call_id = forgotten.call_id;

  -- And of those that wait for their order a few, each time the next, in case nobody told them that its head is over.
  perform relay.call_ended_orders(c_orders, p_now);

  -- Holds that end by themselves held nothing back but new requests; their rows have their own time.
  update relay.hold
  set lifted_at = hold.lifts_at
  from (
    select ended.hold_id
    from relay.hold as ended
    where ended.lifted_at is null and ended.lifts_at <= p_now
    limit 1000
    for update skip locked
  ) as ended
  where hold.hold_id = ended.hold_id;

  -- What holds parked that somebody lifted without coming to the end; its groups are found with the others below.
  perform from relay.hold where hold.freeing limit 1;
  if found then
    perform relay.free_parked(
      array(select hold.hold_id from relay.hold where hold.freeing order by hold.hold_id limit c_parked), c_parked, p_now
    );
  end if;

  with asleep as materialized (
    select
      delivery_group.group_id,
      -- No earlier than now: the walk along the line begins at a floor.
      greatest(
        soonest.next_attempt_at, p_now, delivery_group.throttled_until, delivery_group.circuit_until,
        delivery_group.paused_until, delivery_group.linger_until
      ) as turn_at
    from relay.delivery_group
    cross join lateral (
      select pg_catalog.min(first.next_attempt_at) as next_attempt_at
      from (values (0::smallint), (1::smallint)) as bands (band)
      cross join lateral (
        select ready.next_attempt_at
        from relay.ready
        where ready.group_id = delivery_group.group_id
          and ready.band = bands.band
          and ready.next_attempt_at > v_since
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit 1
      ) as first
    ) as soonest
    where delivery_group.hold_id is null and delivery_group.turn_at > p_now and soonest.next_attempt_at is not null
  ), woken as (
    select asleep.group_id, asleep.turn_at
    from asleep
    join relay.delivery_group on delivery_group.group_id = asleep.group_id
    where delivery_group.turn_at > asleep.turn_at
    for no key update of delivery_group skip locked
  )
  update relay.delivery_group
  -- What was missed may lie below the floor.
  set turn_at = woken.turn_at, floor_until = '-infinity'
  from woken
  where delivery_group.group_id = woken.group_id;
  get diagnostics v_woken = row_count;
  return v_woken;
end;
$$;

comment on function relay.wake_groups is
  'Finds groups that have rows but stand too late in the line: their rows were committed while a claim emptied the group; and '
  'claims that lapsed long ago, and orders that were called long ago, or whose head is over though nobody called (1000 of those that wait each time); and ends the holds whose time is over, and frees what lifted ones left parked. At most once in 30 s; one index probe per sleeping group. Says how many groups it woke. What '
  'was committed late waits that long, and 5 minutes where its transaction lasted a minute. Called by functions.';
