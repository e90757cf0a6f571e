create or replace function relay.read_provider_circuits()
returns table (provider_key text, state text, next_probe_at timestamptz, failure_count integer, changed_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    provider_circuit.provider_key, provider_circuit.state,
    coalesce(provider_circuit.probe_until, provider_circuit.next_probe_at), provider_circuit.failure_count,
    provider_circuit.changed_at
  from relay.provider_circuit
  order by provider_circuit.state = 'CLOSED', provider_circuit.provider_key;
$$;

comment on function relay.read_provider_circuits is
  'The circuit of each provider as a whole, those that are not closed first: when it is probed, and how many probes failed.';

grant execute on function relay.read_provider_circuits to relay_service, relay_operator;
