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
declare
  v_hold_id bigint;
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

  insert into relay.hold (group_id, scope, scope_key, code, opened_at)
  values (p_group_id, 'site', '', p_code, coalesce(p_now, pg_catalog.clock_timestamp()))
  on conflict (group_id, scope, scope_key) where lifted_at is null do nothing
  returning hold.hold_id into v_hold_id;
  update relay.delivery_group
  set
    hold_id = coalesce(v_hold_id, (
      select hold.hold_id
      from relay.hold
      where hold.group_id = p_group_id and hold.scope = 'site' and hold.scope_key = '' and hold.lifted_at is null
    )),
    turn_at = 'infinity'
  where delivery_group.group_id = p_group_id;
  return v_hold_id is not null;
end;
$$;

comment on function relay.hold_group is
  'Opens a hold of a whole group for what a look at its credentials found, as a settlement would; writes to no conversion. '
  'False where the group is held already, was looked at again, or has had new credentials since p_probed_at. Locks: the '
  'group, then the hold.';

grant execute on function relay.hold_group to relay_service;
