create or replace function relay.put_circuit_setting(
  p_open_seconds integer
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into relay.circuit_setting (open_for)
  values (pg_catalog.make_interval(secs => p_open_seconds))
  on conflict (singleton) do update set open_for = excluded.open_for;
$$;

comment on function relay.put_circuit_setting is
  'Sets how long circuits stay open, in seconds (1 to 86400); a fifth of it comes on top at random.';

grant execute on function relay.put_circuit_setting to relay_service;
