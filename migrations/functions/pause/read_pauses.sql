create or replace function relay.read_pauses(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (provider_key text, site_id uuid, reason text, paused_at timestamptz, paused_until timestamptz)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select
    pause.provider_key, pause.site_id, pause.reason, pause.paused_at, nullif(pause.paused_until, 'infinity')
  from clock
  join relay.pause on pause.paused_until > clock.now
  order by pause.provider_key, pause.site_id nulls first;
$$;

comment on function relay.read_pauses is 'What an operator has stopped, with the reason; paused_until is null until it is resumed.';

grant execute on function relay.read_pauses to relay_service, relay_operator;
