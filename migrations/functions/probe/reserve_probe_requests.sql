create or replace function relay.reserve_probe_requests(
  p_quota_key text,
  p_requests integer,
  p_wait_seconds integer,   -- the longest wait that is worth it
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (reserved boolean, wait_ms bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_leaves_at timestamptz := v_now;
  v_throttled_until timestamptz;
  v_one record;
begin
  if p_requests not between 1 and 100 then
    raise exception 'p_requests must lie in 1 to 100' using errcode = 'CR001';
  end if;
  select quota.throttled_until from relay.quota where quota.quota_key = p_quota_key into v_throttled_until;
  reserved := coalesce(v_throttled_until <= v_now + pg_catalog.make_interval(secs => p_wait_seconds), true);
  v_leaves_at := greatest(v_now, v_throttled_until);
  for request in 1 .. p_requests loop
    exit when not reserved;
    select booked.reserved, booked.leaves_at
    from relay.reserve_request(p_quota_key, p_wait_seconds, v_now) as booked
    into v_one;
    reserved := v_one.reserved;
    v_leaves_at := greatest(v_leaves_at, v_one.leaves_at);
  end loop;
  wait_ms := pg_catalog.ceil(extract(epoch from v_leaves_at - v_now) * 1000);
  return next;
end;
$$;

comment on function relay.reserve_probe_requests is
  'Takes the requests of one look at an account from the budget of its quota key. reserved: they may leave in wait_ms, at most '
  'p_wait_seconds; else try again after that. What was booked of them by then is not given back. One row. Raises CR001 for a '
  'bad number. Locks the quota, where it has a budget.';

grant execute on function relay.reserve_probe_requests to relay_service;
