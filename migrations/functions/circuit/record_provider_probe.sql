create or replace function relay.record_provider_probe(
  p_slot_token uuid,
  p_result text,            -- as in record_provider_outcome
  p_now timestamptz
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_circuit relay.provider_circuit;
  v_open_for interval := coalesce(
    (select circuit_setting.open_for from relay.circuit_setting), interval '5 minutes'
  );
begin
  select provider_circuit.*
  from relay.provider_circuit
  where provider_circuit.state = 'HALF_OPEN' and provider_circuit.probe_token = p_slot_token
  for no key update
  into v_circuit;
  -- The answer of a probe that was given up on speaks for nobody.
  if v_circuit.provider_key is null then
    return null;
  end if;

  if p_result = 'none' then
    update relay.provider_circuit
    set probe_until = p_now
    where provider_circuit.provider_key = v_circuit.provider_key;
    return null;
  end if;
  if p_result = 'transient' then
    update relay.provider_circuit
    set
      state = 'OPEN',
      next_probe_at = p_now + v_open_for + v_open_for / 5 * pg_catalog.random(),
      probe_until = null,
      probe_token = null,
      failure_count = provider_circuit.failure_count + 1,
      opened_total = provider_circuit.opened_total + 1,
      changed_at = p_now
    where provider_circuit.provider_key = v_circuit.provider_key;
    return 'provider_opened';
  end if;
  update relay.provider_circuit
  set state = 'CLOSED', next_probe_at = null, probe_until = null, probe_token = null, failure_count = 0, changed_at = p_now
  where provider_circuit.provider_key = v_circuit.provider_key;
  return 'provider_closed';
end;
$$;

comment on function relay.record_provider_probe is
  'Tells a provider''s circuit how its probe ended: any answer that is not transient closes it, a transient one opens it '
  'again, one that never left is due again. Only the probe itself is heard. Answers provider_opened or provider_closed '
  'where the circuit changed. Locks the provider''s circuit. Called by functions.';
