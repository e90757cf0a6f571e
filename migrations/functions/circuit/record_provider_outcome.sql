create or replace function relay.record_provider_outcome(
  p_group_id integer,
  p_epoch integer,
  p_result text,            -- success, answered, transient or none
  p_now timestamptz default null  -- last; only tests set the clock
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  c_failures_to_open constant integer := 5;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_settings interval := coalesce(
    (select circuit_setting.open_for from relay.circuit_setting), interval '5 minutes'
  );
  v_circuit relay.provider_health_state;
  v_probe_at timestamptz;
begin
  if p_result not in ('success', 'answered', 'transient', 'none') then
    raise exception 'p_result must be success, answered, transient or none' using errcode = 'CR001';
  end if;
  -- A healthy circuit costs no write.
  select provider_health_state.*
  from relay.provider_health_state
  where provider_health_state.group_id = p_group_id
  into v_circuit;
  if v_circuit.epoch is distinct from p_epoch
    or v_circuit.state = 'CLOSED' and (p_result in ('answered', 'none') or p_result = 'success' and v_circuit.failure_count = 0)
  then
    return null;
  end if;

  select provider_health_state.*
  from relay.provider_health_state
  where provider_health_state.group_id = p_group_id
  for no key update
  into v_circuit;
  -- An answer of an older epoch speaks of a circuit that is no more.
  if v_circuit.epoch <> p_epoch or v_circuit.state = 'OPEN' then
    return null;
  end if;

  if p_result = 'none' then
    -- A probe that never left is due again, and counts for nothing.
    update relay.provider_health_state
    set probe_until = v_now
    where provider_health_state.group_id = p_group_id and provider_health_state.state = 'HALF_OPEN';
    -- Its claim put the group back to the end of its lease, and what it gives back may wait for longer, or be nothing.
    perform relay.call_groups(array[p_group_id], array[v_now]);
    return null;
  end if;

  if p_result = 'transient' and (v_circuit.state = 'HALF_OPEN' or v_circuit.failure_count + 1 >= c_failures_to_open) then
    v_probe_at := v_now + v_settings + v_settings / 5 * pg_catalog.random();
    update relay.provider_health_state
    set
      state = 'OPEN',
      failure_count = provider_health_state.failure_count + 1,
      next_probe_at = v_probe_at,
      probe_until = null,
      epoch = provider_health_state.epoch + 1,
      opened_total = provider_health_state.opened_total + 1,
      changed_at = v_now
    where provider_health_state.group_id = p_group_id;
    update relay.delivery_group
    set
      circuit_until = v_probe_at,
      turn_at = case
        when delivery_group.turn_at = 'infinity' then 'infinity'
        else greatest(v_probe_at, delivery_group.throttled_until, delivery_group.paused_until)
      end
    where delivery_group.group_id = p_group_id;
    return case when relay.open_provider_circuit(v_circuit.provider_key, v_now) then 'provider_opened' else 'opened' end;
  end if;

  if p_result = 'transient' then
    update relay.provider_health_state
    set failure_count = provider_health_state.failure_count + 1, changed_at = v_now
    where provider_health_state.group_id = p_group_id;
    return null;
  end if;

  -- Whatever is not transient proves that the provider lives; in a closed circuit only a delivery clears the count.
  if v_circuit.state = 'HALF_OPEN' then
    update relay.provider_health_state
    set
      state = 'CLOSED',
      failure_count = 0,
      next_probe_at = null,
      probe_until = null,
      epoch = provider_health_state.epoch + 1,
      changed_at = v_now
    where provider_health_state.group_id = p_group_id;
    update relay.delivery_group
    set circuit_until = '-infinity'
    where delivery_group.group_id = p_group_id;
    perform relay.call_groups(array[p_group_id], array[v_now]);
    return 'closed';
  end if;
  update relay.provider_health_state
  set failure_count = 0, changed_at = v_now
  where provider_health_state.group_id = p_group_id;
  return null;
end;
$$;

comment on function relay.record_provider_outcome is
  'Tells a group''s circuit how one request ended: success (a conversion was delivered), answered (none was, but the '
  'provider spoke), transient (it failed as a whole), none (it never reached the provider). Answers opened or closed where '
  'the circuit changed. Five transient ones in a row open it for 5 to 6 minutes; a probe''s answer closes it or opens it '
  'again; results of an older epoch change nothing. Opening writes two rows, whatever waits, and answers provider_opened '
  'where it was one group too many for the provider''s own circuit. Raises CR001 for an unknown result. Locks the circuit, '
  'its group, then the provider''s circuit.';

grant execute on function relay.record_provider_outcome to relay_service;
