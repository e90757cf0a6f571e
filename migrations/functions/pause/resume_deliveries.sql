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
  v_group_id integer;
begin
  delete from relay.pause
  where pause.provider_key = p_provider_key and pause.site_id is not distinct from p_site_id;
  if not found then
    return false;
  end if;
  if p_site_id is not null then
    update relay.delivery_group
    set throttled_until = '-infinity'
    where delivery_group.site_id = p_site_id and delivery_group.provider_key = p_provider_key
    returning delivery_group.group_id into v_group_id;
    -- Its claim finds out whether anything waits.
    perform relay.call_groups(array[v_group_id], array[v_now]);
  end if;
  return true;
end;
$$;

comment on function relay.resume_deliveries is
  'Ends a pause of a provider, or of one site at it: what waited goes on at once. False where nothing was paused. A pause '
  'whose time has passed ends by itself.';

grant execute on function relay.resume_deliveries to relay_service;
