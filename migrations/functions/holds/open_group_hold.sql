create or replace function relay.open_group_hold(
  p_group_id integer,
  p_scope text,             -- site, client or provider
  p_code text,
  p_now timestamptz
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  v_group relay.delivery_group;
  v_key text;
  v_hold_id bigint;
  v_is_new boolean;
begin
  select delivery_group.*
  from relay.delivery_group
  where delivery_group.group_id = p_group_id
  for no key update
  into v_group;
  v_key := case p_scope when 'client' then v_group.client_key when 'provider' then v_group.transport end;

  -- What is not known to be shared stops the group alone.
  if v_key is null then
    insert into relay.hold (group_id, scope, scope_key, code, opened_at)
    values (p_group_id, p_scope, '', p_code, p_now)
    on conflict (group_id, scope, scope_key) where lifted_at is null do nothing
    returning hold.hold_id into v_hold_id;
    v_is_new := v_hold_id is not null;
    if v_hold_id is null then
      select hold.hold_id
      from relay.hold
      where hold.group_id = p_group_id and hold.scope = p_scope and hold.scope_key = '' and hold.lifted_at is null
      into v_hold_id;
    end if;
    update relay.delivery_group
    set hold_id = v_hold_id, turn_at = 'infinity'
    where delivery_group.group_id = p_group_id and delivery_group.hold_id is null;
    return v_is_new;
  end if;

  insert into relay.hold (group_id, provider_key, scope, scope_key, code, opened_at)
  values (p_group_id, v_group.provider_key, p_scope, v_key, p_code, p_now)
  on conflict do nothing
  returning hold.hold_id into v_hold_id;
  v_is_new := v_hold_id is not null;
  if v_hold_id is null then
    select hold.hold_id
    from relay.hold
    where hold.provider_key = v_group.provider_key and hold.scope = p_scope and hold.scope_key = v_key and hold.lifted_at is null
    -- Whoever lifts it waits until he sees that it stops this group, too: a group under a hold that is over waits for ever.
    for share
    into v_hold_id;
    -- It was lifted this very moment: the next request tells.
    if v_hold_id is null then
      return false;
    end if;
  end if;
  update relay.delivery_group
  set hold_id = v_hold_id, turn_at = 'infinity'
  where delivery_group.group_id = p_group_id and delivery_group.hold_id is null;
  -- The others of its client or transport with it, one write per group and none per conversion. One that somebody has locked
  -- is at work: its own request tells it the same.
  with others as materialized (
    select delivery_group.group_id
    from relay.delivery_group
    where delivery_group.provider_key = v_group.provider_key
      and delivery_group.hold_id is null
      and case p_scope when 'client' then delivery_group.client_key else delivery_group.transport end = v_key
    order by delivery_group.group_id
    for no key update skip locked
  )
  update relay.delivery_group
  set hold_id = v_hold_id, turn_at = 'infinity'
  from others
  where delivery_group.group_id = others.group_id;
  return v_is_new;
end;
$$;

comment on function relay.open_group_hold is
  'Stops a group until somebody mends what its code names, and with it every group of its client (scope client) or of its '
  'provider and transport (scope provider); says whether the hold is new. Nothing is written per conversion. Called by '
  'functions, which have locked no group but p_group_id. Locks: the group, the hold, other groups as far as nobody has them.';
