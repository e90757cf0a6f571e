create or replace function relay.lift_holds(
  p_group_id integer,
  p_now timestamptz
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_wide_id bigint;
  v_lifted integer;
  v_wide_lifted integer;
begin
  select hold.hold_id
  from relay.delivery_group
  join relay.hold on hold.hold_id = delivery_group.hold_id
  where delivery_group.group_id = p_group_id and hold.provider_key is not null
  into v_wide_id;
  update relay.hold
  set lifted_at = p_now
  where hold.group_id = p_group_id and hold.lifted_at is null and hold.provider_key is null;
  get diagnostics v_lifted = row_count;

  with freed as (
    delete from relay.held
    where held.group_id = p_group_id
    returning held.*
  ), told as (
    insert into relay.conversion_outcome (conversion_id, seq, outcome, code, retry_count, next_attempt_at, recorded_at)
    select freed.conversion_id, freed.seq + 1, 'REQUEUED', 'HOLD_LIFTED', freed.retry_count, p_now, p_now
    from freed
  )
  insert into relay.ready (
    group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, retry_count, omitted, maybe_delivered
  )
  select
    freed.group_id, case when freed.expires_at < p_now + interval '48 hours' then 0 else 1 end, p_now,
    freed.conversion_id, freed.expires_at, freed.target, freed.seq + 1, freed.retry_count,
    freed.omitted, freed.maybe_delivered
  from freed;

  update relay.delivery_group
  set hold_id = null, turn_at = greatest(
    p_now, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until
  )
  where delivery_group.group_id = p_group_id;

  -- A hold of a client or of a whole transport goes on for the others, and is over where it stops nobody any more: else the
  -- next fault of that client would be no news. Locked first, so that we see whom it has stopped until now.
  perform from relay.hold where hold.hold_id = v_wide_id for no key update;
  update relay.hold
  set lifted_at = p_now
  where hold.hold_id = v_wide_id
    and hold.lifted_at is null
    and not exists (select from relay.delivery_group where delivery_group.hold_id = v_wide_id);
  get diagnostics v_wide_lifted = row_count;
  return v_lifted + v_wide_lifted;
end;
$$;

comment on function relay.lift_holds is
  'Lifts every hold of a group and sends what they parked to work again; says how many holds. One of its client or transport '
  'ends for this group alone, and altogether with the last group that it stopped. Called by functions, which have locked the '
  'group. Locks: the hold.';
