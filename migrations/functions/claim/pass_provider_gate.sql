create or replace function relay.pass_provider_gate(
  p_provider_key text,
  p_now timestamptz
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_state text;
begin
  perform
  from relay.pause
  where pause.provider_key = p_provider_key and pause.site_id is null and pause.paused_until > p_now;
  if found then
    return 'shut';
  end if;
  perform
  from relay.provider_circuit
  where provider_circuit.provider_key = p_provider_key and provider_circuit.state <> 'CLOSED';
  if not found then
    return 'open';
  end if;

  select provider_circuit.state
  from relay.provider_circuit
  where provider_circuit.provider_key = p_provider_key
    and (
      provider_circuit.state = 'CLOSED'
      or coalesce(provider_circuit.probe_until, provider_circuit.next_probe_at) <= p_now
    )
  for update skip locked
  into v_state;
  return case when v_state is null then 'shut' when v_state = 'CLOSED' then 'open' else 'probe' end;
end;
$$;

comment on function relay.pass_provider_gate is
  'Whether a claim may visit a provider''s groups: open; shut (paused, or its circuit is open, or somebody probes); probe: '
  'the circuit is due, this claim has it locked, and one batch of one group probes for all. Called by functions.';
