create or replace function relay.remove_site(
  p_site_id uuid,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (providers integer, credentials integer, ingest_keys integer, removed_before boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_site relay.site;
  v_groups integer[];
  v_wide bigint[];
begin
  -- The site before its groups: credentials that come at the same time are stored before all this, or bring it back after.
  select site.* from relay.site where site.site_id = p_site_id for update into v_site;
  if v_site.site_id is null then
    return;
  end if;
  removed_before := v_site.removed_at is not null;
  update relay.site set removed_at = v_now, updated_at = v_now where site.site_id = p_site_id and site.removed_at is null;

  perform
  from relay.delivery_group
  where delivery_group.site_id = p_site_id
  order by delivery_group.group_id
  for no key update;
  select
    pg_catalog.array_agg(delivery_group.group_id),
    pg_catalog.array_agg(hold.hold_id order by hold.hold_id) filter (where hold.provider_key is not null)
  from relay.delivery_group
  left join relay.hold on hold.hold_id = delivery_group.hold_id
  where delivery_group.site_id = p_site_id
  into v_groups, v_wide;
  providers := coalesce(pg_catalog.cardinality(v_groups), 0);

  delete from relay.provider_credentials where provider_credentials.group_id = any (v_groups);
  get diagnostics credentials = row_count;
  delete from relay.ingest_key where ingest_key.site_id = p_site_id;
  get diagnostics ingest_keys = row_count;

  -- The hold by which the groups stand outside the line for good. What another one parked is cancelled by
  -- relay.sweep_removed_sites, which finds it by its open hold.
  update relay.hold
  set code = 'SITE_REMOVED', opened_at = v_now, lifts_at = null
  where hold.group_id = any (v_groups)
    and hold.scope = 'site'
    and hold.scope_key = ''
    and hold.lifted_at is null
    and hold.code <> 'SITE_REMOVED';
  insert into relay.hold (group_id, scope, scope_key, code, opened_at)
  select mine.group_id, 'site', '', 'SITE_REMOVED', v_now
  from unnest(v_groups) as mine (group_id)
  on conflict (group_id, scope, scope_key) where lifted_at is null do nothing;
  -- Without a quota key no claim and no receipt can be taken, whatever becomes of the hold.
  update relay.delivery_group
  set hold_id = hold.hold_id, turn_at = 'infinity', quota_key = null, client_key = null, transport = null
  from relay.hold
  where delivery_group.group_id = any (v_groups)
    and hold.group_id = delivery_group.group_id
    and hold.scope = 'site'
    and hold.scope_key = ''
    and hold.lifted_at is null;
  -- A hold of a client or a transport is over with the last group that it stopped: see relay.lift_holds.
  perform from relay.hold where hold.hold_id = any (v_wide) order by hold.hold_id for no key update;
  update relay.hold
  set lifted_at = v_now
  where hold.hold_id = any (v_wide)
    and hold.lifted_at is null
    and not exists (select from relay.delivery_group where delivery_group.hold_id = hold.hold_id);
  return next;
end;
$$;

comment on function relay.remove_site is
  'Off-boards a site: its credentials and the keys of its door go, its groups leave the line for good (hold SITE_REMOVED), and '
  'nothing is taken in for it any more. What waits is cancelled by relay.sweep_removed_sites; history stays until its '
  'retention. New credentials bring it back. One row: its providers, what was deleted, whether it was removed before; none '
  'where the site is unknown. Locks: the site, its groups in order, holds.';

grant execute on function relay.remove_site to relay_service;
