create or replace function relay.lift_probed_hold(
  p_hold_id bigint,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns boolean
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select released.holds > 0 from relay.release_holds(p_hold_id, null, null, null, p_now) as released;
$$;

comment on function relay.lift_probed_hold is
  'Lifts one hold, of whatever scope, after a probe that passed, as an operator would: what it parked goes again, and every '
  'group that it stopped stands in line. False where it was lifted before. Locks: its groups in the order of their ids, then the hold.';

grant execute on function relay.lift_probed_hold to relay_service;
