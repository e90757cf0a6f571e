create or replace function relay.pause_deliveries(
  p_provider_key text,
  p_site_id uuid,           -- null: the whole provider
  p_until timestamptz,      -- null: until resumed
  p_reason text,
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
  v_until timestamptz := coalesce(p_until, 'infinity');
begin
  if p_until <= v_now or p_reason = '' then
    raise exception 'p_until must lie ahead, and p_reason must say something' using errcode = 'CR001';
  end if;
  -- The group first, here and in relay.resume_deliveries.
  if p_site_id is not null then
    update relay.delivery_group
    set
      paused_until = v_until,
      turn_at = case
        when delivery_group.hold_id is not null then 'infinity'
        else greatest(v_until, delivery_group.throttled_until, delivery_group.circuit_until)
      end
    where delivery_group.site_id = p_site_id and delivery_group.provider_key = p_provider_key;
    if not found then
      return false;
    end if;
  end if;
  insert into relay.pause as pause (scope, provider_key, site_id, reason, paused_at, paused_until)
  values (
    case when p_site_id is null then 'provider' else 'group' end, p_provider_key, p_site_id, p_reason, v_now, v_until
  )
  on conflict (provider_key, coalesce(site_id, '00000000-0000-0000-0000-000000000000')) do update
  set reason = excluded.reason, paused_at = excluded.paused_at, paused_until = excluded.paused_until;
  return true;
end;
$$;

comment on function relay.pause_deliveries is
  'Stops claims for a provider, or for one site at it, until a time or until resumed. False where the site has no group '
  'there. Requests on their way are seen through. Writes two rows, whatever waits. Raises CR001 for bad arguments.';

grant execute on function relay.pause_deliveries to relay_service;
