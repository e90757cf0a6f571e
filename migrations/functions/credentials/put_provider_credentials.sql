create or replace function relay.put_provider_credentials(
  p_site_id uuid,
  p_provider_key text,
  p_key_version integer,
  p_sealed bytea,
  p_quota_key text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (group_id integer, holds_lifted integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz;
  v_group_id integer;
begin
  perform relay.ensure_groups(
    array[p_site_id], array[p_provider_key], coalesce(p_now, pg_catalog.clock_timestamp())
  );
  -- A removal that is under way comes first: what is decided here must not be of a moment before it.
  perform from relay.site where site.site_id = p_site_id for no key update;
  -- A site that was removed is served again, at this provider; the others wait for credentials of their own.
  update relay.site
  set removed_at = null, updated_at = coalesce(p_now, pg_catalog.clock_timestamp())
  where site.site_id = p_site_id and site.removed_at is not null;
  if found then
    update relay.hold
    set code = 'NO_CREDENTIALS'
    from relay.delivery_group
    where delivery_group.site_id = p_site_id
      and hold.group_id = delivery_group.group_id
      and hold.code = 'SITE_REMOVED'
      and hold.lifted_at is null;
  end if;
  -- Before the group is locked (slots come first everywhere), and only what is missing: an insert that meets a row waits for
  -- whoever is writing it.
  insert into relay.quota (quota_key)
  select p_quota_key
  where not exists (select from relay.quota where quota.quota_key = p_quota_key)
  on conflict do nothing;
  insert into relay.upload_slot (quota_key, slot_no)
  select quota.quota_key, slot.slot_no
  from relay.quota
  cross join pg_catalog.generate_series(1, quota.slots) as slot (slot_no)
  where quota.quota_key = p_quota_key
    and not exists (
      select
      from relay.upload_slot
      where upload_slot.quota_key = quota.quota_key and upload_slot.slot_no = slot.slot_no
    )
  on conflict do nothing;

  select delivery_group.group_id
  from relay.delivery_group
  where delivery_group.site_id = p_site_id and delivery_group.provider_key = p_provider_key
  for no key update
  into v_group_id;
  -- Read under the lock: no claim can take a group from here on with the old credentials, and an older claim opens no hold.
  v_now := coalesce(p_now, pg_catalog.clock_timestamp());

  insert into relay.provider_credentials (group_id, key_version, sealed, created_at, updated_at)
  values (v_group_id, p_key_version, p_sealed, v_now, v_now)
  on conflict (group_id) do update
  set key_version = excluded.key_version, sealed = excluded.sealed, updated_at = excluded.updated_at;
  update relay.delivery_group set quota_key = p_quota_key where delivery_group.group_id = v_group_id;

  return query select v_group_id, relay.lift_holds(v_group_id, v_now);
end;
$$;

comment on function relay.put_provider_credentials is
  'Stores a site''s sealed credentials, makes its group and the upload slots of its quota key where they are missing, and '
  'lifts the group''s holds: what they parked goes on by itself; a site that was removed is served again. One row. Locks: the '
  'site where it was removed, the group.';

grant execute on function relay.put_provider_credentials to relay_service;
