create or replace function relay.ensure_groups(
  p_site_ids uuid[],
  p_provider_keys text[],
  p_now timestamptz
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missing boolean;
begin
  -- Looking first: an upsert would burn an id for every conflict.
  select exists (
    select
    from (
      -- A batch names the same few again and again.
      select distinct come.site_id, come.provider_key
      from unnest(p_site_ids, p_provider_keys) as come (site_id, provider_key)
    ) as wanted
    where not exists (
      select
      from relay.delivery_group
      where delivery_group.site_id = wanted.site_id and delivery_group.provider_key = wanted.provider_key
    )
  ) into v_missing;
  if not v_missing then
    return;
  end if;

  insert into relay.site (site_id, created_at, updated_at)
  select distinct wanted.site_id, p_now, p_now
  from unnest(p_site_ids) as wanted (site_id)
  order by wanted.site_id
  on conflict do nothing;

  with made as (
    insert into relay.delivery_group (site_id, provider_key, created_at)
    select distinct wanted.site_id, wanted.provider_key, p_now
    from unnest(p_site_ids, p_provider_keys) as wanted (site_id, provider_key)
    where not exists (
      select
      from relay.delivery_group
      where delivery_group.site_id = wanted.site_id and delivery_group.provider_key = wanted.provider_key
    )
    order by wanted.site_id, wanted.provider_key
    on conflict do nothing
    returning delivery_group.group_id, delivery_group.site_id, delivery_group.provider_key
  ), circuits as (
    insert into relay.provider_health_state (group_id, site_id, provider_key)
    select made.group_id, made.site_id, made.provider_key from made
  ), metrics as (
    insert into relay.provider_upload_metrics (group_id, site_id, provider_key)
    select made.group_id, made.site_id, made.provider_key from made
  ), provider as (
    insert into relay.provider_circuit (provider_key)
    select distinct made.provider_key from made
    on conflict do nothing
  ), line as (
    insert into relay.line (provider_key)
    select distinct made.provider_key from made
    on conflict do nothing
  ), holds as (
    insert into relay.hold (group_id, scope, scope_key, code, opened_at)
    select made.group_id, 'site', '', 'NO_CREDENTIALS', p_now from made
  )
  select exists (select from made) into v_missing;

  -- A group without credentials is held from its first moment.
  update relay.delivery_group
  set hold_id = hold.hold_id
  from relay.hold
  where hold.group_id = delivery_group.group_id
    and hold.scope = 'site'
    and hold.lifted_at is null
    and delivery_group.hold_id is null
    and (delivery_group.site_id, delivery_group.provider_key) in (
      select wanted.site_id, wanted.provider_key
      from unnest(p_site_ids, p_provider_keys) as wanted (site_id, provider_key)
    );
end;
$$;

comment on function relay.ensure_groups is
  'Makes the sites and groups that are missing among the pairs (p_site_ids[i], p_provider_keys[i]): each with its circuit (and its provider''s circuit and line), '
  'its metrics, and the hold NO_CREDENTIALS that new credentials lift. Called by functions, not by programs.';
