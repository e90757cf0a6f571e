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
  c_rounds constant integer := 20;
  c_calls constant integer := 1000;
  -- A request is reserved when it leaves: claims go ahead of the budget by what may leave within this.
  c_budget_ahead constant interval := interval '5 seconds';
  c_linger_max constant interval := interval '15 minutes';
  -- Rows on their way in are due no earlier than their transaction began, and those end within seconds.
  c_floor_lag constant interval := interval '30 seconds';
  c_floor_believed constant interval := interval '5 minutes';
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_lease_until timestamptz := v_now + pg_catalog.make_interval(secs => p_lease_seconds);
  v_gate text;
  v_line_floor timestamptz;
  v_full text[];
  v_passed integer[] := '{}';
  v_group_ids integer[];
  v_shares integer[];
  v_turns integer;
  v_group record;
  v_quota relay.quota;
  v_used double precision;
  v_full_at timestamptz;
  v_linger_until timestamptz;
  v_requests integer;
  v_circuit relay.provider_health_state;
  v_slot relay.upload_slot;
  v_first record;
  v_probing boolean;
  v_floor timestamptz;
  v_urgent_floor timestamptz;
  v_limit integer;
  v_places integer;
  v_before integer;
  v_left integer := p_row_limit;
  v_spare integer;
  v_token uuid;
  v_batch record;
  v_tokens uuid[] := '{}';
  v_groups integer[] := '{}';
  v_failures integer[] := '{}';
  v_expired integer[] := '{}';
  v_expired_ids bigint[] := '{}';
  v_freed_groups integer[];
  v_freed_outcomes text[];
  v_first_id bigint;
  v_last_id bigint;
  v_more timestamptz;
  v_more_ordinary timestamptz;
  v_more_urgent timestamptz;
begin
  if p_lease_seconds not between 5 and 3600 then
    raise exception 'p_lease_seconds must lie in 5 to 3600' using errcode = 'CR001';
  end if;
  if p_group_limit not between 1 and 1000 or p_row_limit < 1 or p_batch_limit not between 1 and 10000 then
    raise exception 'p_group_limit must lie in 1 to 1000, p_row_limit above 0, p_batch_limit in 1 to 10000'
      using errcode = 'CR001';
  end if;

  -- A crashed runner's rows come back through whoever claims next. What lapsed long ago is looked for now and then: the
  -- index entries of claims that are settled lie there, too.
  perform
  from relay.inflight
  where inflight.lease_until < v_now and inflight.lease_until > v_now - interval '5 minutes';
  if found then
    perform relay.return_lapsed_claims(20, 0, null, v_now);
  end if;
  v_gate := relay.pass_provider_gate(p_provider_key, v_now);
  if v_gate = 'shut' then
    return;
  end if;
  v_places := case v_gate when 'probe' then 1 else p_group_limit end;
  perform relay.wake_groups(v_now);
  -- Orders whose head has ended let the next of their writes go.
  perform from relay.order_call where order_call.call_at <= v_now and order_call.call_at > v_now - interval '5 minutes';
  if found then
    select pg_catalog.array_agg(freed.group_id), pg_catalog.array_agg(freed.outcome)
    from relay.free_orders(c_calls, v_now) as freed
    into v_freed_groups, v_freed_outcomes;
  end if;
  v_line_floor := relay.read_line_floor(p_provider_key, v_now);
  v_full := relay.read_full_quota_keys(v_now);

  -- Another round where the groups at the head of the line had nothing to give (they were sent to their later turns), and
  -- where places are left: then the groups with more than one batch have their next turn at once, and nobody idles.
  for v_round in 1..c_rounds loop
    exit when v_places <= 0 or v_left <= 0;
    with line as materialized (
      select delivery_group.group_id, delivery_group.turn_at
      from relay.delivery_group
      where delivery_group.provider_key = p_provider_key
        and delivery_group.turn_at < 'infinity'
        and delivery_group.turn_at >= v_line_floor
        and delivery_group.turn_at <= v_now
        and (p_site_id is null or delivery_group.site_id = p_site_id)
        and delivery_group.quota_key <> all (v_full)
        and delivery_group.group_id <> all (v_passed)
      order by delivery_group.provider_key, delivery_group.turn_at, delivery_group.group_id
      limit v_places
      for no key update skip locked
    )
    select pg_catalog.array_agg(line.group_id order by line.turn_at, line.group_id) from line into v_group_ids;

    exit when v_group_ids is null;
    v_before := v_places;
    v_turns := pg_catalog.cardinality(v_group_ids);
    v_spare := 0;
    v_shares := case
      when v_turns > 1 and v_left::bigint < v_turns::bigint * p_batch_limit then relay.share_rows(v_group_ids, v_left, p_batch_limit, v_now)
    end;

    for v_group in
      select delivery_group.*, chosen.turn
      from unnest(v_group_ids) with ordinality as chosen (group_id, turn)
      join relay.delivery_group on delivery_group.group_id = chosen.group_id
      order by chosen.turn
    loop
      exit when v_left <= 0;
      v_floor := case when v_group.floor_until > v_now then v_group.floor_at else '-infinity' end;
      v_urgent_floor := case when v_group.floor_until > v_now then v_group.urgent_floor_at else '-infinity' end;

      select quota.* from relay.quota where quota.quota_key = v_group.quota_key into v_quota;
      if v_quota.per_minute is not null or v_quota.per_day is not null then
        select budget.used, budget.full_at, soon.requests
        from relay.read_budget(v_quota, v_now) as budget
        cross join relay.read_budget(v_quota, v_now + c_budget_ahead) as soon
        into v_used, v_full_at, v_requests;
        if v_requests <= (
          select pg_catalog.count(*)
          from relay.inflight
          where inflight.quota_key = v_quota.quota_key and inflight.sent_targets is null
        ) then
          v_full := v_full || v_group.quota_key;
          continue;
        end if;
      else
        v_used := 0;
      end if;

      -- Lock order: slot, circuit, ready; each skips what is locked, so that a claim never waits.
      select upload_slot.*
      from relay.upload_slot
      where upload_slot.quota_key = v_group.quota_key
        and upload_slot.slot_no <= v_quota.slots
        and upload_slot.lease_until <= v_now
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

      -- The row that goes first says whether it goes alone, and whether the group may linger for more.
      select
        first.next_attempt_at,
        first.band,
        first.request_failures >= 3 and first.failed_epoch = v_circuit.epoch and first.expires_at > v_now as alone
      from (values (0::smallint), (1::smallint)) as bands (band)
      cross join lateral (
        select ready.*
        from relay.ready
        where ready.group_id = v_group.group_id
          and ready.band = bands.band
          and ready.next_attempt_at >= case bands.band when 1 then v_floor else v_urgent_floor end
          and ready.next_attempt_at <= v_now
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit 1
      ) as first
      order by bands.band
      limit 1
      into v_first;

      -- Where requests are scarce, a batch that is not full waits for more: the longer, the less of the budget is left,
      -- and never longer than until all of it is there again.
      v_linger_until := least(v_first.next_attempt_at + v_used * c_linger_max, v_full_at);
      if v_used > 0 and v_first.band = 1 and not v_probing and v_linger_until > v_now
        and (
          select pg_catalog.count(*) < p_batch_limit
          from (
            select
            from relay.ready
            where ready.group_id = v_group.group_id
              and ready.band = 1
              and ready.next_attempt_at >= v_floor
              and ready.next_attempt_at <= v_now
            limit p_batch_limit
          ) as due
        )
      then
        update relay.delivery_group
        set turn_at = v_linger_until, linger_until = v_linger_until
        where delivery_group.group_id = v_group.group_id;
        continue;
      end if;

      -- What a group of this round left of its share goes to those after it.
      v_limit := least(
        p_batch_limit, v_left, greatest(1, coalesce(v_shares[v_group.turn] + v_spare, p_batch_limit))
      );
      if v_probing or v_gate = 'probe' then
        -- After a probe that failed a single row goes, another one each time: a row that is the fault itself would
        -- otherwise be in every probe of a small group, and keep its circuit open for ever.
        v_limit := least(
          v_limit, case when v_circuit.failure_count > c_failures_to_open then 1 else v_circuit.probe_limit end
        );
      end if;
      -- A row that goes alone needs no look at the others, and has no company in this call.
      if v_first.alone then
        v_limit := 1;
        v_passed := v_passed || v_group.group_id;
      end if;
      v_token := pg_catalog.gen_random_uuid();

      with urgent as materialized (
        select ready.*
        from relay.ready
        where ready.group_id = v_group.group_id
          and ready.band = 0
          and ready.next_attempt_at >= v_urgent_floor
          and ready.next_attempt_at <= v_now
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit v_limit
        for update skip locked
      ), ordinary as materialized (
        select ready.*
        from relay.ready
        where ready.group_id = v_group.group_id
          and ready.band = 1
          and ready.next_attempt_at >= v_floor
          and ready.next_attempt_at <= v_now
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
      ), judged as materialized (
        select
          seen.*,
          seen.expires_at <= v_now
            or case
              when (select first.alone from seen as first where first.expires_at > v_now order by first.place limit 1)
                then seen.place = (select pg_catalog.min(first.place) from seen as first where first.expires_at > v_now)
              else not seen.alone
            end as is_taken
        from seen
      ), taken as materialized (
        select judged.* from judged where judged.is_taken
      ), gone as (
        delete from relay.ready
        using taken
        where ready.group_id = taken.group_id
          and ready.band = taken.band
          and ready.next_attempt_at = taken.next_attempt_at
          and ready.conversion_id = taken.conversion_id
      ), ended as (
        -- What an earlier request may have delivered has not failed for all that anybody knows.
        insert into relay.conversion_outcome (
          conversion_id, seq, outcome, class, code, retry_count, sent_target, omitted, recorded_at
        )
        select
          taken.conversion_id, taken.seq + 1,
          case when taken.maybe_delivered then 'UNCONFIRMED' else 'EXPIRED' end,
          case when taken.maybe_delivered then 'AMBIGUOUS' else 'PERM' end,
          case when taken.maybe_delivered then 'EXPIRED_PERHAPS_DELIVERED' else 'EXPIRED_BEFORE_DELIVERY' end,
          taken.retry_count, case when taken.maybe_delivered then taken.target end, nullif(taken.omitted, 0), v_now
        from taken
        where taken.expires_at <= v_now
        returning conversion_outcome.conversion_id
      ), batch as (
        -- Aggregated in the order of the subquery: an order by in each of the arrays would sort seven times.
        insert into relay.inflight (
          claim_token, run_id, group_id, circuit_epoch, is_probe, quota_key, slot_no, slot_token, conversion_ids, seqs,
          retry_counts, request_failures, lost_claims, maybe_delivered, targets, omitted, parts, claimed_at, lease_until
        )
        select
          v_token, p_run_id, v_group.group_id, v_circuit.epoch + v_probing::integer, v_probing, v_slot.quota_key,
          v_slot.slot_no, v_token,
          pg_catalog.array_agg(live.conversion_id),
          pg_catalog.array_agg(live.seq + 1),
          pg_catalog.array_agg(live.retry_count),
          pg_catalog.array_agg(case when live.failed_epoch = v_circuit.epoch then live.request_failures else 0::smallint end),
          pg_catalog.array_agg(live.lost_claims),
          pg_catalog.array_agg(live.maybe_delivered),
          pg_catalog.array_agg(live.target),
          case when pg_catalog.bool_or(live.omitted <> 0) then pg_catalog.array_agg(live.omitted) end,
          case when pg_catalog.count(live.part) > 0 then pg_catalog.array_agg(live.part) end,
          v_now, v_lease_until
        from (select taken.* from taken where taken.expires_at > v_now order by taken.place) as live
        having pg_catalog.count(*) > 0
        returning pg_catalog.cardinality(inflight.conversion_ids) as conversions
      )
      select
        coalesce((select batch.conversions from batch), 0) as taken,
        (select pg_catalog.count(*) from ended)::integer as expired,
        (select pg_catalog.array_agg(ended.conversion_id) from ended) as expired_ids,
        urgent_end.next_attempt_at as urgent_at, urgent_end.conversion_id as urgent_id,
        ordinary_end.next_attempt_at as ordinary_at, ordinary_end.conversion_id as ordinary_id,
        passed_by.first_id, passed_by.last_id, passed_by.left_at, passed_by.urgent_left_at, passed_by.ordinary_left_at
      from (
        select
          pg_catalog.min(judged.conversion_id) as first_id,
          pg_catalog.max(judged.conversion_id) as last_id,
          pg_catalog.min(judged.next_attempt_at) filter (where not judged.is_taken) as left_at,
          pg_catalog.min(judged.next_attempt_at) filter (where not judged.is_taken and judged.band = 0) as urgent_left_at,
          pg_catalog.min(judged.next_attempt_at) filter (where not judged.is_taken and judged.band = 1) as ordinary_left_at
        from judged
      ) as passed_by
      left join lateral (
        select seen.next_attempt_at, seen.conversion_id from seen where seen.band = 0 order by seen.place desc limit 1
      ) as urgent_end on true
      left join lateral (
        select seen.next_attempt_at, seen.conversion_id from seen where seen.band = 1 order by seen.place desc limit 1
      ) as ordinary_end on true
      into v_batch;

      -- The group's next turn: the end of the line while it has due rows, else when its next row is due. Looked for
      -- behind what was just seen: in front of it lie the entries of the rows that this claim takes.
      select
        pg_catalog.min(soonest.next_attempt_at),
        pg_catalog.min(soonest.next_attempt_at) filter (where soonest.band = 1),
        pg_catalog.min(soonest.next_attempt_at) filter (where soonest.band = 0)
      from (
        values
          (0::smallint, v_batch.urgent_at, v_batch.urgent_id),
          (1::smallint, v_batch.ordinary_at, v_batch.ordinary_id)
      ) as seen_to (band, next_attempt_at, conversion_id)
      cross join lateral (
        select ready.band, ready.next_attempt_at
        from relay.ready
        where ready.group_id = v_group.group_id
          and ready.band = seen_to.band
          and (ready.next_attempt_at, ready.conversion_id) > (
            coalesce(seen_to.next_attempt_at, case seen_to.band when 1 then v_floor else v_urgent_floor end),
            coalesce(seen_to.conversion_id, -1)
          )
        order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
        limit 1
      ) as soonest
      into v_more, v_more_ordinary, v_more_urgent;
      v_more := least(v_more, v_batch.left_at);
      v_more_ordinary := least(v_more_ordinary, v_batch.ordinary_left_at);
      v_more_urgent := least(v_more_urgent, v_batch.urgent_left_at);
      update relay.delivery_group
      set
        turn_at = case
          when v_probing and v_batch.taken > 0 then v_lease_until
          when v_more is null then 'infinity'
          else greatest(v_more, v_now)
        end,
        floor_at = greatest(v_floor, least(v_more_ordinary, v_now - c_floor_lag)),
        urgent_floor_at = greatest(v_urgent_floor, least(v_more_urgent, v_now - c_floor_lag)),
        floor_until = case
          when v_group.floor_until > v_now then v_group.floor_until
          else v_now + c_floor_believed
        end
      where delivery_group.group_id = v_group.group_id;

      v_spare := v_spare + coalesce(v_shares[v_group.turn], 0) - v_batch.taken - v_batch.expired;
      if v_batch.taken = 0 and v_batch.expired = 0 then
        -- Where rows are due and none could be had, somebody else holds them.
        v_passed := v_passed || v_group.group_id;
        continue;
      end if;
      if v_batch.taken > 0 then
        update relay.upload_slot
        set claim_token = v_token, lease_until = v_lease_until
        where upload_slot.quota_key = v_slot.quota_key and upload_slot.slot_no = v_slot.slot_no;
        if v_probing then
          -- The prober alone goes on under the new epoch; a probe that is lost is due again when its lease ends.
          update relay.provider_health_state
          set state = 'HALF_OPEN', epoch = v_circuit.epoch + 1, probe_until = v_lease_until, changed_at = v_now
          where provider_health_state.group_id = v_group.group_id;
        end if;
        if v_gate = 'probe' then
          update relay.provider_circuit
          set state = 'HALF_OPEN', probe_until = v_lease_until, probe_token = v_token, changed_at = v_now
          where provider_circuit.provider_key = p_provider_key;
        end if;
      end if;
      v_left := v_left - v_batch.taken - v_batch.expired;
      v_places := v_places - 1;

      v_tokens := v_tokens || case when v_batch.taken > 0 then v_token end;
      v_groups := v_groups || v_group.group_id;
      v_failures := v_failures || v_circuit.failure_count;
      v_expired := v_expired || v_batch.expired;
      v_expired_ids := v_expired_ids || v_batch.expired_ids;
      v_first_id := least(v_first_id, v_batch.first_id);
      v_last_id := greatest(v_last_id, v_batch.last_id);
    end loop;
    -- Where none of them had anything, so may many behind them: they are sent away together.
    if v_places = v_before then
      perform relay.clear_line(p_provider_key, v_line_floor, v_now);
    end if;
  end loop;

  if v_expired_ids <> '{}' then
    perform relay.call_orders(v_groups, v_expired_ids, v_now);
  end if;
  -- Last, and in the order of the groups, as everywhere.
  select
    pg_catalog.array_agg(late.group_id) || v_freed_groups, pg_catalog.array_agg('EXPIRED'::text) || v_freed_outcomes
  from unnest(v_groups, v_expired) as late (group_id, expired)
  cross join lateral pg_catalog.generate_series(1, late.expired)
  into v_freed_groups, v_freed_outcomes;
  if v_freed_groups is not null then
    perform relay.count_endings(v_freed_groups, v_freed_outcomes, v_now);
  end if;

  -- One query for all, and between bounds that are known before it starts: opening every partition of conversion for each
  -- group would cost more than the rows do.
  return query
  select
    inflight.claim_token, batch.group_id, delivery_group.site_id, inflight.circuit_epoch, batch.failure_count,
    coalesce(inflight.is_probe, false), batch.expired,
    coalesce(inflight.conversion_ids, '{}'), coalesce(inflight.retry_counts, '{}'),
    coalesce(inflight.request_failures, '{}'), coalesce(inflight.maybe_delivered, '{}'),
    coalesce(inflight.targets, '{}'),
    coalesce(
      (
        select pg_catalog.array_agg(claimed.payload)
        from (
          select conversion.payload
          from unnest(inflight.conversion_ids) with ordinality as claimed (conversion_id, place)
          -- With a limit, so that it stays one look per conversion and is never turned round.
          cross join lateral (
            select conversion.payload
            from relay.conversion
            where conversion.conversion_id = claimed.conversion_id
              and conversion.conversion_id >= v_first_id
              and conversion.conversion_id <= v_last_id
            limit 1
          ) as conversion
          order by claimed.place
        ) as claimed
      ),
      '{}'
    )
  from unnest(v_tokens, v_groups, v_failures, v_expired) with ordinality
    as batch (claim_token, group_id, failure_count, expired, place)
  join relay.delivery_group on delivery_group.group_id = batch.group_id
  left join relay.inflight on inflight.claim_token = batch.claim_token
  order by batch.place;
end;
$$;

comment on function relay.claim_offline_conversion_jobs_v2 is
  'Claims due conversions: up to p_group_limit batches of at most p_batch_limit rows, from the groups that waited longest '
  'for their turn; within a group those that expire within 48 hours first, then in order of their due time. A group with '
  'more than a batch has another turn in the same call where no other group wants the place. Where p_row_limit is scarce, '
  'rows are shared by the root of what is due: a large group gets more, none gets nothing. One row per batch: the claim '
  '(null where rows only expired), its group and circuit, and arrays with one entry per conversion. Takes a slot per '
  'claim, keeps within the request budget of the quota key and lets small batches linger where that is scarce, ends expired '
  'rows, returns lapsed claims of others, wakes groups that were left out of the line, turns a due circuit HALF_OPEN and '
  'then takes at most its probe_limit rows, and one after a probe that failed; while the provider''s own circuit is open, '
  'one batch in all. Chosen shape: a line of groups (turn_at) with an index walk within each group, because its cost '
  'depends on what it takes and not on what waits: measured at 10M rows in 10,000 groups, counts and window functions over '
  'the backlog take 1.3 s and more, a sampled weight goes stale as soon as small groups run dry, and this takes 1.4 to 1.7 '
  'times what it takes at 10,000 rows in 100 (bench/RESULTS.md). Turns are equal and rows are weighted, never both: weighted twice, one large group got 74 % '
  'where 10 % was its share. An ordinary row that a transaction of more than 30 s brings in may wait 5 minutes (floor_at). '
  'Passes over groups, slots, circuits and rows that are locked. Raises CR001 for bad arguments.';

grant execute on function relay.claim_offline_conversion_jobs_v2 to relay_service;
