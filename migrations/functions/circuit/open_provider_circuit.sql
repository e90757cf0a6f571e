create or replace function relay.open_provider_circuit(
  p_provider_key text,
  p_now timestamptz
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- One or two groups that fail are no outage of a provider.
  c_groups_to_open constant integer := 3;
  c_active_for constant interval := interval '10 minutes';
  v_open integer;
  v_active integer;
  v_open_for interval := coalesce(
    (select circuit_setting.open_for from relay.circuit_setting), interval '5 minutes'
  );
begin
  perform
  from relay.provider_circuit
  where provider_circuit.provider_key = p_provider_key and provider_circuit.state = 'CLOSED';
  if not found then
    return false;
  end if;
  select
    pg_catalog.count(*) filter (where provider_health_state.state <> 'CLOSED'),
    pg_catalog.count(*)
  from relay.provider_health_state
  join relay.provider_upload_metrics as metrics on metrics.group_id = provider_health_state.group_id
  where provider_health_state.provider_key = p_provider_key
    and metrics.updated_at > p_now - c_active_for
  into v_open, v_active;
  if v_open < c_groups_to_open or 2 * v_open <= v_active then
    return false;
  end if;
  update relay.provider_circuit
  set
    state = 'OPEN',
    next_probe_at = p_now + v_open_for + v_open_for / 5 * pg_catalog.random(),
    probe_until = null,
    probe_token = null,
    failure_count = 0,
    opened_total = provider_circuit.opened_total + 1,
    changed_at = p_now
  where provider_circuit.provider_key = p_provider_key and provider_circuit.state = 'CLOSED';
  return found;
end;
$$;

comment on function relay.open_provider_circuit is
  'Opens the circuit of a whole provider where more than half of its active groups are open, at least 3 of them: then one '
  'claim probes for all. Active: with a request settled within 10 minutes. Asked when a group opens; its cost grows '
  'with the groups, not with the backlog. Says whether it opened. Locks the provider''s circuit. Called by functions.';
