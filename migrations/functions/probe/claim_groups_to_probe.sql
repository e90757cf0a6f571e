create or replace function relay.claim_groups_to_probe(
  p_site_id uuid,           -- null: every site
  p_quiet_seconds integer,  -- not looked at for so long
  p_held_seconds integer,   -- the same for groups that something holds
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  group_id integer,
  site_id uuid,
  provider_key text,
  quota_key text,
  transport text,
  probed_at timestamptz,
  hold_id bigint,
  hold_scope text,
  hold_key text,
  hold_code text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
begin
  return query
  with due as materialized (
    select delivery_group.group_id
    from relay.delivery_group
    where (p_site_id is null or delivery_group.site_id = p_site_id)
      and delivery_group.paused_until <= v_now
      and delivery_group.probed_at <= v_now - pg_catalog.make_interval(
        secs => case
          when delivery_group.hold_id is not null
            or exists (
              select
              from relay.hold
              where hold.group_id = delivery_group.group_id and hold.scope <> 'row' and hold.lifted_at is null
            )
            then p_held_seconds
          else p_quiet_seconds
        end
      )
      and exists (
        select from relay.provider_credentials where provider_credentials.group_id = delivery_group.group_id
      )
      and not exists (
        select
        from relay.pause
        where pause.scope = 'provider'
          and pause.provider_key = delivery_group.provider_key
          and pause.paused_until > v_now
      )
    order by delivery_group.probed_at, delivery_group.group_id
    limit p_limit
    for no key update of delivery_group skip locked
  ), claimed as (
    update relay.delivery_group
    set probed_at = v_now
    from due
    where due.group_id = delivery_group.group_id
    returning
      delivery_group.group_id, delivery_group.site_id, delivery_group.provider_key, delivery_group.quota_key,
      delivery_group.transport, delivery_group.hold_id
  )
  select
    claimed.group_id, claimed.site_id, claimed.provider_key, claimed.quota_key, claimed.transport, v_now, hold.hold_id, hold.scope,
    hold.scope_key, hold.code
  from claimed
  left join lateral (
    select stop.hold_id, stop.scope, stop.scope_key, stop.code
    from relay.hold as stop
    where stop.hold_id = claimed.hold_id
    union all
    select part.hold_id, part.scope, part.scope_key, part.code
    from relay.hold as part
    where part.group_id = claimed.group_id and part.scope = 'conversion_action' and part.lifted_at is null
  ) as hold on true
  order by claimed.group_id, hold.hold_id;
end;
$$;

comment on function relay.claim_groups_to_probe is
  'The groups with credentials that were not looked at for longest, at most p_limit: from now on they count as looked at. A row for '
  'each hold of the group or of one of its conversion actions, one without a hold where it has none. Leaves out what is paused. '
  'Locks those groups, and skips what is locked.';

grant execute on function relay.claim_groups_to_probe to relay_service;
