create or replace function relay.read_site_standing(
  p_site_id uuid,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  provider_key text,
  group_id integer,
  quota_key text,
  transport text,
  credentials_at timestamptz,
  hold_code text,
  held_since timestamptz,
  parked_code text,
  parked bigint,
  pause_reason text,
  paused_until timestamptz,
  circuit text,
  next_probe_at timestamptz,
  provider_circuit text
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    delivery_group.provider_key, delivery_group.group_id, delivery_group.quota_key, delivery_group.transport,
    provider_credentials.updated_at, hold.code, hold.opened_at, parked.code, coalesce(parked.conversions, 0), pause.reason,
    nullif(pause.paused_until, 'infinity'), provider_health_state.state, provider_health_state.next_probe_at,
    provider_circuit.state
  from relay.site
  left join relay.delivery_group on delivery_group.site_id = site.site_id
  left join relay.provider_credentials on provider_credentials.group_id = delivery_group.group_id
  left join relay.hold on hold.hold_id = delivery_group.hold_id
  left join relay.provider_health_state on provider_health_state.group_id = delivery_group.group_id
  left join relay.provider_circuit on provider_circuit.provider_key = delivery_group.provider_key
  left join lateral (
    -- Counting stops at 10,001, as everywhere.
    select pg_catalog.min(first.code) as code, pg_catalog.count(*) as conversions
    from (
      select row_hold.code
      from relay.hold as row_hold
      join relay.held on held.hold_id = row_hold.hold_id
      where row_hold.group_id = delivery_group.group_id and row_hold.lifted_at is null
      limit 10001
    ) as first
  ) as parked on true
  left join lateral (
    select stop.reason, stop.paused_until
    from relay.pause as stop
    where stop.provider_key = delivery_group.provider_key
      and (stop.site_id is null or stop.site_id = site.site_id)
      and stop.paused_until > coalesce(p_now, pg_catalog.clock_timestamp())
    order by stop.paused_until desc
    limit 1
  ) as pause on true
  where site.site_id = p_site_id
  order by delivery_group.provider_key;
$$;

comment on function relay.read_site_standing is
  'How a site stands with each of its providers: credentials, what holds the group, what is parked by itself (parked stops '
  'counting at 10001), pauses, circuits. A row per group, one without a provider where a known site has no group, none where '
  'the site is unknown.';

grant execute on function relay.read_site_standing to relay_service, relay_operator;
