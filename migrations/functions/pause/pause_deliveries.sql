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
  v_group_id integer;
begin
  if p_until <= v_now or p_reason = '' then
    raise exception 'p_until must lie ahead, and p_reason must say something' using errcode = 'CR001';
  end if;
  if p_site_id is not null then
    -- The end of an earlier pause makes way, so that the group goes on when this one says.
    update relay.delivery_group
    set
      throttled_until = greatest(
        v_until,
        nullif(
          delivery_group.throttled_until,
          (select pause.paused_until from relay.pause where pause.provider_key = p_provider_key and pause.site_id = p_site_id)
        )
      ),
      turn_at = greatest(delivery_group.turn_at, v_until)
    where delivery_group.site_id = p_site_id and delivery_group.provider_key = p_provider_key
    returning delivery_group.group_id into v_group_id;
    if not found then
      return false;
    end if;
    perform relay.call_groups(array[v_group_id], array[v_until]);
  end if;
  delete from relay.pause
  where pause.provider_key = p_provider_key and pause.site_id is not distinct from p_site_id;
  insert into relay.pause (scope, provider_key, site_id, reason, paused_at, paused_until)
  values (
    case when p_site_id is null then 'provider' else 'group' end, p_provider_key, p_site_id, p_reason, v_now, v_until
  );
  return true;
end;
$$;

comment on function relay.pause_deliveries is
  'Stops claims for a provider, or for one site at it, until a time or until resumed. False where the site has no group '
  'there. Requests on their way are seen through. Writes two rows, whatever waits. Raises CR001 for bad arguments.';

grant execute on function relay.pause_deliveries to relay_service;
