create or replace function relay.claim_offline_conversion_jobs_v2(
  p_run_id bigint,
  p_provider_key text,
  p_site_id uuid,           -- null: every site
  p_group_limit integer,
  p_row_limit integer,      -- over all groups
  p_batch_limit integer,    -- per group
  p_lease_seconds integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  claim_token uuid,
  group_id integer,
  site_id uuid,
  circuit_epoch integer,
  failure_count integer,
  is_probe boolean,
  expired integer,
  conversion_ids bigint[],
  retry_counts smallint[],
  request_failures smallint[],
  maybe_delivered boolean[],
  targets bigint[],
  payloads jsonb[]
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- The claim walks one index in its order and stops at its limit. A planner that expects fewer rows in a group than the
-- limit asks for would rather read and sort the whole group (75,000 rows for 1,000), and a plan that was made while a
-- table was empty would read all of it for ever.
set enable_sort = off
set enable_bitmapscan = off
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
-- What is switched off counts as very expensive, and expensive plans are compiled: seconds for a claim of 5 ms.
set jit = off
as $$
#variable_conflict use_column
declare
  c_failures_to_open constant integer := 5;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_lease_until timestamptz := v_now + pg_catalog.make_interval(secs => p_lease_seconds);
  v_full text[];
  v_passed integer[] := '{}';
  v_group_ids integer[];
  v_turns integer;
  v_group record;
  v_circuit relay.provider_health_state;
  v_slot relay.upload_slot;
  v_probing boolean;
  v_alone boolean;
  v_limit integer;
  v_left integer := p_row_limit;
  v_token uuid;
  v_more timestamptz;
  v_taken integer;
  v_expired integer;
begin
  if p_lease_seconds not between 5 and 3600 then
    raise exception 'p_lease_seconds must lie in 5 to 3600' using errcode = 'CR001';
  end if;
  if p_group_limit not between 1 and 1000 or p_row_limit < 1 or p_batch_limit not between 1 and 10000 then
    raise exception 'p_group_limit must lie in 1 to 1000, p_row_limit above 0, p_batch_limit in 1 to 10000'
      using errcode = 'CR001';
  end if;

  -- A crashed runner's rows come back through whoever claims next.
  perform from relay.inflight where inflight.lease_until < v_now;
  if found then
    perform relay.return_lapsed_claims(20, 0, null, v_now);
  end if;

  -- Somebody may have been left out of the line by a transaction that committed late. Looked for by the clock and not
  -- where the line is empty: in a busy system it never is.
  perform relay.wake_groups(v_now);

  -- Keys without a free slot, or told to wait, are passed over as a whole: their groups keep their place in the line.
  -- Only keys that are in use can be full, so that what is idle costs nothing.
  select coalesce(pg_catalog.array_agg(full_key.quota_key), '{}')
  from (
    select quota.quota_key
    from relay.quota
    where quota.throttled_until > v_now
    union
    select used.quota_key
    from (select distinct inflight.quota_key from relay.inflight) as used
    where not exists (
      select
      from relay.upload_slot
      where upload_slot.quota_key = used.quota_key and upload_slot.lease_until <= v_now
    )
  ) as full_key
  into v_full;

  -- Another round where the groups at the head of the line had nothing to give (they were sent to their later turns).
  for v_round in 1..20 loop
    with line as materialized (
      select delivery_group.group_id, delivery_group.turn_at
      from relay.delivery_group
      where delivery_group.provider_key = p_provider_key
        and delivery_group.turn_at < 'infinity'
        and delivery_group.turn_at <= v_now
        and (p_site_id is null or delivery_group.site_id = p_site_id)
        and delivery_group.quota_key <> all (v_full)
        and delivery_group.group_id <> all (v_passed)
      order by delivery_group.provider_key, delivery_group.turn_at, delivery_group.group_id
      limit p_group_limit
      for no key update skip locked
    )
    select pg_catalog.array_agg(line.group_id order by line.turn_at, line.group_id) from line into v_group_ids;

    exit when v_group_ids is null;
    v_turns := pg_catalog.cardinality(v_group_ids);

    for v_group in
      select delivery_group.*, chosen.turn
      from unnest(v_group_ids) with ordinality as chosen (group_id, turn)
      join relay.delivery_group on delivery_group.group_id = chosen.group_id
      order by chosen.turn
    loop
      exit when v_left <= 0;

      -- Lock order: slot, circuit, ready; each skips what is locked, so that a claim never waits.
      select upload_slot.*
      from relay.upload_slot
      where upload_slot.quota_key = v_group.quota_key and upload_slot.lease_until <= v_now
      order by upload_slot.quota_key, upload_slot.slot_no
      limit 1
      for update skip locked
      into v_slot;
      if v_slot.slot_no is null then
        v_full := v_full || v_group.quota_key;
        continue;
      end if;

      select provider_health_state.*
      from relay.provider_health_state
      where provider_health_state.group_id = v_group.group_id
      for update skip locked
      into v_circuit;
      if v_circuit.group_id is null then
        v_passed := v_passed || v_group.group_id;
        continue;
      end if;

      v_probing := v_circuit.state <> 'CLOSED';
      if v_circuit.state = 'OPEN' and v_circuit.next_probe_at > v_now
        or v_circuit.state = 'HALF_OPEN' and v_circuit.probe_until > v_now
      then
        update relay.delivery_group
        set turn_at = case when v_circuit.state = 'OPEN' then v_circuit.next_probe_at else v_circuit.probe_until end
        where delivery_group.group_id = v_group.group_id;
        continue;
      end if;

      -- Each group leaves the others of this round their share of the rows; what they do not need goes to the next round.
      v_limit := least(p_batch_limit, pg_catalog.ceil(v_left::numeric / (v_turns - v_group.turn + 1))::integer);
      if v_probing then
        -- After a probe that failed a single row goes, another one each time: a row that is the fault itself would
        -- otherwise be in every probe of a small group, and keep its circuit open for ever.
        v_limit := least(
          v_limit, case when v_circuit.failure_count > c_failures_to_open then 1 else v_circuit.probe_limit end
        );
      end if;
      -- A row that goes alone needs no look at the others.
      select first.request_failures >= 3 and first.failed_epoch = v_circuit.epoch and first.expires_at > v_now
      from (values (0::smallint), (1::smallint)) as bands (band)
      cross join lateral (
        select ready.*
        from relay.ready
        where ready.group_id = v_group.group_id and ready.band = bands.band and ready.next_attempt_at <= v_now
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit 1
      ) as first
      order by bands.band
      limit 1
      into v_alone;
      if v_alone then
        v_limit := 1;
      end if;
      v_token := pg_catalog.gen_random_uuid();

      with urgent as materialized (
        select ready.*
        from relay.ready
        where ready.group_id = v_group.group_id and ready.band = 0 and ready.next_attempt_at <= v_now
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit v_limit
        for update skip locked
      ), ordinary as materialized (
        select ready.*
        from relay.ready
        where ready.group_id = v_group.group_id and ready.band = 1 and ready.next_attempt_at <= v_now
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit v_limit - (select pg_catalog.count(*) from urgent)
        for update skip locked
      ), seen as materialized (
        select
          due.*,
          pg_catalog.row_number() over () as place,
          -- After its third whole request that failed a row goes alone, so that it cannot sink the others a fourth time.
          due.request_failures >= 3 and due.failed_epoch = v_circuit.epoch and due.expires_at > v_now as alone
        from (select urgent.* from urgent union all select ordinary.* from ordinary) as due
      ), taken as materialized (
        select seen.*
        from seen
        where seen.expires_at <= v_now
          or case
            when (select first.alone from seen as first where first.expires_at > v_now order by first.place limit 1)
              then seen.place = (select pg_catalog.min(first.place) from seen as first where first.expires_at > v_now)
            else not seen.alone
          end
      ), gone as (
        delete from relay.ready
        using taken
        where ready.group_id = taken.group_id
          and ready.band = taken.band
          and ready.next_attempt_at = taken.next_attempt_at
          and ready.conversion_id = taken.conversion_id
      ), ended as (
        insert into relay.conversion_outcome (conversion_id, seq, outcome, class, code, retry_count, recorded_at)
        select taken.conversion_id, taken.seq + 1, 'EXPIRED', 'PERM', 'EXPIRED_BEFORE_DELIVERY', taken.retry_count, v_now
        from taken
        where taken.expires_at <= v_now
        returning 1
      ), batch as (
        insert into relay.inflight (
          claim_token, run_id, group_id, circuit_epoch, is_probe, quota_key, slot_no, slot_token, conversion_ids, seqs,
          retry_counts, request_failures, lost_claims, maybe_delivered, targets, claimed_at, lease_until
        )
        select
          v_token, p_run_id, v_group.group_id, v_circuit.epoch + v_probing::integer, v_probing, v_slot.quota_key,
          v_slot.slot_no, v_token,
          pg_catalog.array_agg(taken.conversion_id order by taken.place),
          pg_catalog.array_agg(taken.seq + 1 order by taken.place),
          pg_catalog.array_agg(taken.retry_count order by taken.place),
          pg_catalog.array_agg(
            case when taken.failed_epoch = v_circuit.epoch then taken.request_failures else 0::smallint end
            order by taken.place
          ),
          pg_catalog.array_agg(taken.lost_claims order by taken.place),
          pg_catalog.array_agg(taken.maybe_delivered order by taken.place),
          pg_catalog.array_agg(taken.target order by taken.place),
          v_now, v_lease_until
        from taken
        where taken.expires_at > v_now
        having pg_catalog.count(*) > 0
        returning pg_catalog.cardinality(inflight.conversion_ids) as taken
      )
      select coalesce((select batch.taken from batch), 0), (select pg_catalog.count(*) from ended)
      into v_taken, v_expired;

      -- The group's next turn: the end of the line while it has due rows, else when its next row is due.
      select pg_catalog.min(soonest.next_attempt_at)
      from (values (0::smallint), (1::smallint)) as bands (band)
      cross join lateral (
        select ready.next_attempt_at
        from relay.ready
        where ready.group_id = v_group.group_id and ready.band = bands.band
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit 1
      ) as soonest
      into v_more;
      update relay.delivery_group
      set turn_at = case
        when v_probing and v_taken > 0 then v_lease_until
        when v_more is null then 'infinity'
        else greatest(v_more, v_now)
      end
      where delivery_group.group_id = v_group.group_id;

      if v_expired > 0 then
        perform relay.increment_provider_upload_metrics(v_group.group_id, 0, 0, v_expired, 0, 0, 0, v_now);
      end if;
      if v_taken = 0 and v_expired = 0 then
        continue;
      end if;
      if v_taken > 0 then
        update relay.upload_slot
        set claim_token = v_token, lease_until = v_lease_until
        where upload_slot.quota_key = v_slot.quota_key and upload_slot.slot_no = v_slot.slot_no;
        if v_probing then
          -- The prober alone goes on under the new epoch; a probe that is lost is due again when its lease ends.
          update relay.provider_health_state
          set state = 'HALF_OPEN', epoch = v_circuit.epoch + 1, probe_until = v_lease_until, changed_at = v_now
          where provider_health_state.group_id = v_group.group_id;
        end if;
      end if;
      v_left := v_left - v_taken - v_expired;

      return query
      select
        case when v_taken > 0 then v_token end, v_group.group_id, v_group.site_id,
        v_circuit.epoch + v_probing::integer, v_circuit.failure_count, v_probing, v_expired,
        coalesce(inflight.conversion_ids, '{}'), coalesce(inflight.retry_counts, '{}'),
        coalesce(inflight.request_failures, '{}'), coalesce(inflight.maybe_delivered, '{}'),
        coalesce(inflight.targets, '{}'),
        coalesce(
          (
            select pg_catalog.array_agg(conversion.payload order by claimed.place)
            from unnest(inflight.conversion_ids) with ordinality as claimed (conversion_id, place)
            join relay.conversion on conversion.conversion_id = claimed.conversion_id
          ),
          '{}'
        )
      from (values (1)) as one (row)
      left join relay.inflight on inflight.claim_token = v_token;
    end loop;
    exit when v_left < p_row_limit;
  end loop;
end;
$$;

comment on function relay.claim_offline_conversion_jobs_v2 is
  'Claims due conversions of up to p_group_limit groups, those that waited longest for their turn first; within a group '
  'those that expire within 48 hours first, then in order of their due time. The rows are shared out: a large group gets '
  'what the others of its round leave. One row per group: the claim (null where rows only expired), its circuit, and '
  'arrays with one entry per conversion. Takes a slot per claim, ends expired rows, returns lapsed claims of others, wakes '
  'groups that were left out of the line, turns a due circuit HALF_OPEN and then takes at most its probe_limit rows, and '
  'one after a probe that failed. Chosen shape: a line of groups (turn_at) and an index walk within each group, because '
  'its cost depends on what it takes and not on what waits; window functions and counts over the backlog cost 1.3 s at '
  '10M rows. Passes over groups, slots, circuits and rows that are locked. Raises CR001 for bad arguments.';

grant execute on function relay.claim_offline_conversion_jobs_v2 to relay_service;
