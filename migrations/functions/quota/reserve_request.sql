create or replace function relay.reserve_request(
  p_quota_key text,
  p_wait_seconds integer,   -- the longest wait that is worth it
  p_now timestamptz
)
returns table (reserved boolean, leaves_at timestamptz)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_quota relay.quota;
  v_budget record;
begin
  reserved := true;
  leaves_at := p_now;
  -- A key without a budget costs no lock and no write.
  perform
  from relay.quota
  where quota.quota_key = p_quota_key and (quota.per_minute is not null or quota.per_day is not null);
  if not found then
    return next;
    return;
  end if;

  select quota.* from relay.quota where quota.quota_key = p_quota_key for no key update into v_quota;
  select budget.* from relay.read_budget(v_quota, p_now) as budget into v_budget;
  leaves_at := v_budget.next_at;
  if leaves_at > p_now + pg_catalog.make_interval(secs => p_wait_seconds) then
    reserved := false;
    return next;
    return;
  end if;
  update relay.quota
  set
    minute_at = coalesce(greatest(v_quota.minute_at, leaves_at) + v_budget.minute_pace, v_quota.minute_at),
    day_at = coalesce(greatest(v_quota.day_at, leaves_at) + v_budget.day_pace, v_quota.day_at)
  where quota.quota_key = p_quota_key;
  return next;
end;
$$;

comment on function relay.reserve_request is
  'Takes one request, upload or poll, from the budget of a quota key. reserved: it may leave at leaves_at, at most '
  'p_wait_seconds from now; else nothing was taken, and leaves_at is when to ask again. One row. Bookings '
  'never pass the limit, in any window: they are made under the lock of the key''s row. A request that was booked and did not '
  'leave is not given back. Called by functions, after claim and slot.';
