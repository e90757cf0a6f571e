create or replace function relay.hold_vault_key(
  p_provider_key text,
  p_key_version integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (is_new boolean, sites integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_groups integer[];
  v_hold_id bigint;
begin
  is_new := false;
  sites := 0;
  -- One that somebody has locked is at work: its own upload, or the next run, finds the same.
  select pg_catalog.array_agg(stopped.group_id)
  from (
    select delivery_group.group_id
    from relay.delivery_group
    join relay.provider_credentials on provider_credentials.group_id = delivery_group.group_id
    where delivery_group.provider_key = p_provider_key
      and delivery_group.hold_id is null
      and provider_credentials.key_version = p_key_version
    order by delivery_group.group_id
    for no key update of delivery_group skip locked
  ) as stopped
  into v_groups;
  if v_groups is null then
    return next;
    return;
  end if;

  insert into relay.hold (group_id, provider_key, scope, scope_key, code, opened_at)
  values (
    v_groups[1], p_provider_key, 'provider', 'key version ' || p_key_version, 'KEY_REFUSED',
    coalesce(p_now, pg_catalog.clock_timestamp())
  )
  on conflict do nothing
  returning hold.hold_id into v_hold_id;
  is_new := v_hold_id is not null;
  if v_hold_id is null then
    select hold.hold_id
    from relay.hold
    where hold.provider_key = p_provider_key
      and hold.scope = 'provider'
      and hold.scope_key = 'key version ' || p_key_version
      and hold.lifted_at is null
    -- Whoever lifts it waits until he sees that it stops these groups, too.
    for share
    into v_hold_id;
    -- It was lifted this very moment: the next run tells.
    if v_hold_id is null then
      return next;
      return;
    end if;
  end if;
  update relay.delivery_group
  set hold_id = v_hold_id, turn_at = 'infinity'
  where delivery_group.group_id = any (v_groups);
  get diagnostics sites = row_count;
  return next;
end;
$$;

comment on function relay.hold_vault_key is
  'Stops every group of a provider whose credentials are sealed with a data key that its source does not open, by one hold '
  '(KEY_REFUSED) until it opens or the credentials are put anew; nothing is written per conversion. One row: whether the hold '
  'is new, and how many groups it stopped now. Locks: the groups in order as far as nobody has them, the hold.';

grant execute on function relay.hold_vault_key to relay_service;
