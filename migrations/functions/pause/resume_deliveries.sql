create or replace function relay.resume_deliveries(
  p_provider_key text,
  p_site_id uuid,           -- null: the whole provider
  p_now timestamptz default null  -- last; only tests set the clock
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
begin
  -- The group first, here and in relay.pause_deliveries. Its claim finds out whether anything waits.
  update relay.delivery_group
  set
    paused_until = '-infinity',
    turn_at = case
      when delivery_group.hold_id is not null then 'infinity'
      else greatest(v_now, delivery_group.throttled_until, delivery_group.circuit_until)
    end
  where delivery_group.site_id = p_site_id
    and delivery_group.provider_key = p_provider_key
    and delivery_group.paused_until > v_now;
  delete from relay.pause
  where pause.provider_key = p_provider_key and pause.site_id is not distinct from p_site_id and pause.paused_until > v_now;
  return found;
end;
$$;

comment on function relay.resume_deliveries is
  'Ends a pause of a provider, or of one site at it: what waited goes on at once. False where nothing was paused. A pause '
  'whose time has passed ends by itself.';

grant execute on function relay.resume_deliveries to relay_service;
