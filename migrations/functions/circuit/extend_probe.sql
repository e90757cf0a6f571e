create or replace function relay.extend_probe(
  p_claim relay.inflight,
  p_until timestamptz
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update relay.provider_health_state
  set probe_until = p_until
  where p_claim.is_probe
    and provider_health_state.group_id = p_claim.group_id
    and provider_health_state.state = 'HALF_OPEN'
    and provider_health_state.epoch = p_claim.circuit_epoch;
  update relay.provider_circuit
  set probe_until = p_until
  where provider_circuit.state = 'HALF_OPEN' and provider_circuit.probe_token = p_claim.slot_token;
$$;

comment on function relay.extend_probe is
  'Gives the probes that a claim makes its own new lease, of its group''s circuit and of its provider''s: nobody else probes '
  'while it is out. Called by functions, which have the claim locked.';
