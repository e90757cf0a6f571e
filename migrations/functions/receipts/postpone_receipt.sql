create or replace function relay.postpone_receipt(
  p_attempt_id bigint,
  p_wait_seconds integer,   -- null: by how often it was asked for
  p_throttle_scope text,    -- null, group or quota_key
  p_hold_scope text,        -- null: no hold; else site, client or provider
  p_hold_code text,
  p_asked_seconds integer,  -- how long ago the credentials were read
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
  v_until timestamptz;
  v_receipt relay.receipt;
begin
  -- 30 minutes, then twice as long each time, 6 hours at most, and once when a day is over.
  update relay.receipt
  set next_poll_at = case
    when p_wait_seconds is not null then v_now + pg_catalog.make_interval(secs => p_wait_seconds)
    when v_now < receipt.created_at + interval '24 hours' then least(
      v_now + least(interval '30 minutes' * 2 ^ least(receipt.polls - 1, 10), interval '6 hours'),
      receipt.created_at + interval '24 hours'
    )
    else v_now + interval '6 hours'
  end
  where receipt.attempt_id = p_attempt_id and receipt.state = 'PENDING'
  returning receipt.* into v_receipt;
  if v_receipt.attempt_id is null then
    return false;
  end if;
  v_until := v_now + pg_catalog.make_interval(secs => p_wait_seconds);
  if p_throttle_scope = 'quota_key' then
    update relay.quota
    set throttled_until = greatest(quota.throttled_until, v_until)
    from relay.delivery_group
    where delivery_group.group_id = v_receipt.group_id and quota.quota_key = delivery_group.quota_key;
  elsif p_throttle_scope = 'group' then
    update relay.delivery_group
    set
      throttled_until = greatest(delivery_group.throttled_until, v_until),
      turn_at = greatest(delivery_group.turn_at, v_until)
    where delivery_group.group_id = v_receipt.group_id;
  end if;
  if p_hold_scope is null then
    return false;
  end if;
  perform from relay.delivery_group where delivery_group.group_id = v_receipt.group_id for no key update;
  -- Credentials that came meanwhile are the mend already.
  if exists (
    select
    from relay.provider_credentials
    where provider_credentials.group_id = v_receipt.group_id and provider_credentials.updated_at > v_now - pg_catalog.make_interval(secs => p_asked_seconds + 1)
  ) then
    return false;
  end if;
  return relay.open_group_hold(v_receipt.group_id, p_hold_scope, p_hold_code, v_now);
end;
$$;

comment on function relay.postpone_receipt is
  'Asks for a receipt again later: after p_wait_seconds, or by a schedule of its own. With it what the answer asked for: a '
  'throttle of the group or its quota key, or a hold; says whether a new hold was opened. Nothing where the receipt was settled '
  'before. Locks: the receipt, the quota, groups, the hold.';

grant execute on function relay.postpone_receipt to relay_service;
