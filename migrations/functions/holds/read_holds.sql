create or replace function relay.read_holds(
  p_provider_key text,      -- null: every provider
  p_site_id uuid,           -- null: every site
  p_limit integer
)
returns table (
  hold_id bigint, provider_key text, site_id uuid, scope text, scope_key text, code text, opened_at timestamptz,
  lifts_at timestamptz, holds bigint, sites bigint, conversions bigint
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
  with standing as materialized (
    select
      pg_catalog.min(hold.hold_id) as hold_id, delivery_group.provider_key,
      case when hold.provider_key is null then delivery_group.site_id end as site_id,
      hold.scope, case when hold.scope <> 'row' then hold.scope_key end as scope_key, hold.code,
      pg_catalog.min(hold.opened_at) as opened_at, pg_catalog.max(hold.lifts_at) as lifts_at,
      pg_catalog.count(*) as holds, pg_catalog.min(hold.group_id) as group_id
    from relay.hold
    join relay.delivery_group on delivery_group.group_id = hold.group_id
    where hold.lifted_at is null
      -- Nobody is to mend that.
      and hold.code <> 'SITE_REMOVED'
      and (hold.lifts_at is null or hold.lifts_at > pg_catalog.clock_timestamp())
      and (p_provider_key is null or delivery_group.provider_key = p_provider_key)
      and (
        p_site_id is null
        or hold.provider_key is null and delivery_group.site_id = p_site_id
        or hold.provider_key is not null and exists (
          select from relay.delivery_group as stopped where stopped.hold_id = hold.hold_id and stopped.site_id = p_site_id
        )
      )
    -- Each parked conversion has a hold of its own: those of one site and code are told as one.
    group by
      delivery_group.provider_key, case when hold.provider_key is null then delivery_group.site_id end, hold.scope,
      case when hold.scope <> 'row' then hold.scope_key end, hold.code,
      case when hold.provider_key is not null then hold.hold_id end
    order by pg_catalog.min(hold.opened_at), 1
    limit p_limit
  )
  select
    standing.hold_id, standing.provider_key, standing.site_id, standing.scope, standing.scope_key, standing.code,
    standing.opened_at, standing.lifts_at, standing.holds,
    case
      when standing.scope in ('row', 'conversion_action') then 1
      else (select pg_catalog.count(*) from relay.delivery_group where delivery_group.hold_id = standing.hold_id)
    end,
    case
      when standing.scope = 'row' then standing.holds
      when standing.scope = 'conversion_action' then (
        select pg_catalog.count(*)
        from (select from relay.held where held.hold_id = standing.hold_id limit 10001) as parked
      )
      else (
        select pg_catalog.count(*)
        from (
          select
          from relay.delivery_group
          join relay.ready on ready.group_id = delivery_group.group_id
          where delivery_group.hold_id = standing.hold_id
          limit 10001
        ) as waiting
      )
    end
  from standing
  order by standing.opened_at, standing.hold_id;
$$;

comment on function relay.read_holds is
  'The holds that stand, the oldest first, at most p_limit: what they cover, why, since when, until when where they end by '
  'themselves, how many sites they stop and how many conversions wait under them (counted to 10001). Holds of single '
  'conversions are told together by site and code.';

grant execute on function relay.read_holds to relay_service, relay_operator;
