create or replace function relay.hold_group(
  p_group_id integer,
  p_code text,
  p_probed_at timestamptz,  -- as relay.claim_groups_to_probe answered it
  p_now timestamptz default null  -- last; only tests set the clock
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform
  from relay.delivery_group
  where delivery_group.group_id = p_group_id
  for no key update;
  -- Read under the lock: credentials that came after the look are the mend already.
  perform
  from relay.delivery_group
  join relay.provider_credentials on provider_credentials.group_id = delivery_group.group_id
  where delivery_group.group_id = p_group_id
    and delivery_group.hold_id is null
    and delivery_group.probed_at = p_probed_at
    and provider_credentials.updated_at <= p_probed_at;
  if not found then
    return false;
  end if;

  return relay.open_group_hold(p_group_id, 'site', p_code, coalesce(p_now, pg_catalog.clock_timestamp()));
end;
$$;

comment on function relay.hold_group is
  'Opens a hold of a whole group for what a look at its credentials found, as a settlement would; writes to no conversion. '
  'False where the group is held already, was looked at again, or has had new credentials since p_probed_at. Locks: the '
  'group, then the hold.';

grant execute on function relay.hold_group to relay_service;
