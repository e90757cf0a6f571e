create or replace function relay.settle_claimed_conversions(
  p_claim_token uuid,
  p_attempt_id bigint,            -- null: nothing was sent
  p_outcomes text[],              -- one entry per conversion of the claim, in its order; so are the eight that follow
  p_classes text[],
  p_codes text[],
  p_wait_seconds integer[],
  p_not_before timestamptz[],
  p_hold_scopes text[],           -- row or conversion_action where the conversion itself is parked or put off
  p_hold_keys text[],
  p_omitted smallint[],           -- what it goes on without, from now on; null: nothing more for any
  p_parts bigint[],               -- the part that it goes with; null: none for any
  p_circuit_result text,
  p_group_hold_scope text,        -- null: no hold of the whole group
  p_group_hold_code text,
  p_transport text,               -- the way that the group takes from now on; null: as before
  p_throttle_scope text,          -- null, group or quota_key
  p_throttle_seconds integer,
  p_http_status integer,
  p_provider_request_id text,
  p_error_code text,
  p_error_category text,
  p_duration_ms integer,
  p_keep_slot boolean,            -- other parts of the claim go on with it
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  accepted boolean,
  circuit_change text,
  hold_opened boolean,
  completed integer,
  failed integer,
  retry integer,
  held integer,
  submitted integer,
  released integer
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- A plan that was made while this week's partition was empty would read all of it for ever.
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_claim relay.inflight;
  v_mended boolean := false;
  v_count integer;
  v_back timestamptz;
  v_submitted bigint[];
  v_targets bigint[];
  v_opened boolean;
  v_first_id bigint;
  v_last_id bigint;
begin
  -- Whoever deletes the claim may speak for it: completion and fence in one.
  delete from relay.inflight where inflight.claim_token = p_claim_token returning inflight.* into v_claim;
  if v_claim.claim_token is null then
    update relay.provider_upload_attempts
    set
      closed_at = v_now, state = 'STALE', http_status = p_http_status, provider_request_id = p_provider_request_id,
      error_code = p_error_code, error_category = p_error_category, duration_ms = p_duration_ms
    where provider_upload_attempts.attempt_id = p_attempt_id and provider_upload_attempts.closed_at is null;
    return query select false, null::text, false, 0, 0, 0, 0, 0, 0;
    return;
  end if;
  v_count := pg_catalog.cardinality(v_claim.conversion_ids);
  select pg_catalog.min(part.conversion_id), pg_catalog.max(part.conversion_id)
  from unnest(v_claim.conversion_ids) as part (conversion_id)
  into v_first_id, v_last_id;
  if (v_count, v_count, v_count, v_count, v_count, v_count, v_count) is distinct from (
    pg_catalog.cardinality(p_outcomes), pg_catalog.cardinality(p_classes), pg_catalog.cardinality(p_codes),
    pg_catalog.cardinality(p_wait_seconds), pg_catalog.cardinality(p_not_before), pg_catalog.cardinality(p_hold_scopes),
    pg_catalog.cardinality(p_hold_keys)
  )
    or pg_catalog.cardinality(p_omitted) <> v_count
    or pg_catalog.cardinality(p_parts) <> v_count
  then
    raise exception 'the arrays must have one entry per conversion of the claim, %', v_count using errcode = 'CR002';
  end if;

  -- An outcome that says nothing of where its conversion goes would lose it.
  if exists (
      select
      from unnest(p_outcomes) as given (outcome)
      where given.outcome <> all (array[
        'DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'REJECTED', 'EXPIRED', 'EXHAUSTED',
        'CANCELLED', 'UNCONFIRMED', 'SUBMITTED', 'RETRY', 'DEGRADED', 'DELAYED', 'UNANSWERED', 'HELD', 'RELEASED', 'REQUEUED'
      ])
    )
    or 'SUBMITTED' = any (p_outcomes) and (p_attempt_id is null or p_provider_request_id is null)
    or 'REQUEUED' = any (p_outcomes) and v_claim.receipt_attempt_id is null
  then
    raise exception 'an outcome is unknown, submitted without the request that is asked for later, or requeued without a receipt'
      using errcode = 'CR002';
  end if;

  -- Lock order, here and wherever several are taken: claim, slot, quota, circuit, group, holds, metrics.
  if not p_keep_slot then
    update relay.upload_slot
    set lease_until = '-infinity', claim_token = null
    where upload_slot.quota_key = v_claim.quota_key
      and upload_slot.slot_no = v_claim.slot_no
      and upload_slot.claim_token = v_claim.slot_token;
  end if;
  if p_throttle_scope = 'quota_key' then
    update relay.quota
    set throttled_until = greatest(quota.throttled_until, v_now + pg_catalog.make_interval(secs => p_throttle_seconds))
    where quota.quota_key = v_claim.quota_key;
  end if;
  if p_group_hold_scope is not null or p_transport is not null
    or 'row' = any (p_hold_scopes) or 'conversion_action' = any (p_hold_scopes)
  then
    perform
    from relay.provider_health_state
    where provider_health_state.group_id = v_claim.group_id
    for no key update;
    perform from relay.delivery_group where delivery_group.group_id = v_claim.group_id for no key update;
    -- Credentials that came after the claim are the mend already: its rows go again with them, under no hold.
    v_mended := exists (
      select
      from relay.provider_credentials
      where provider_credentials.group_id = v_claim.group_id and provider_credentials.updated_at > v_claim.claimed_at
    );
  end if;

  if p_group_hold_scope is not null and not v_mended then
    hold_opened := relay.open_group_hold(v_claim.group_id, p_group_hold_scope, p_group_hold_code, v_now);
  end if;
  if ('row' = any (p_hold_scopes) or 'conversion_action' = any (p_hold_scopes)) and not v_mended then
    -- Of those that are parked or put off by the same hold the one that has to wait longest speaks.
    with opened as (
      insert into relay.hold (group_id, scope, scope_key, code, opened_at, lifts_at)
      select distinct on (parked.scope, parked.scope_key)
        v_claim.group_id, parked.scope, parked.scope_key, coalesce(parked.code, 'NO_CODE'), v_now,
        case
          when parked.outcome = 'DELAYED'
            then greatest(v_now + pg_catalog.make_interval(secs => coalesce(parked.wait_seconds, 0)), parked.not_before)
        end
      from unnest(p_hold_scopes, p_hold_keys, p_codes, p_outcomes, p_wait_seconds, p_not_before)
        as parked (scope, scope_key, code, outcome, wait_seconds, not_before)
      where parked.scope is not null
      order by parked.scope, parked.scope_key, parked.outcome = 'DELAYED', parked.wait_seconds desc
      on conflict (group_id, scope, scope_key) where lifted_at is null
        -- One that ends by itself may have ended; one that waits for a mend stays what it is.
        do update set code = excluded.code, opened_at = excluded.opened_at, lifts_at = excluded.lifts_at
        where hold.lifts_at is not null and hold.lifts_at is distinct from excluded.lifts_at
      returning hold.lifts_at is null or hold.opened_at = v_now as is_new
    )
    select pg_catalog.bool_or(opened.is_new) from opened into v_opened;
    hold_opened := coalesce(hold_opened, false) or coalesce(v_opened, false);
  end if;
  if p_transport is not null then
    update relay.delivery_group set transport = p_transport where delivery_group.group_id = v_claim.group_id;
  end if;

  with settled as materialized (
    select
      part.conversion_id, part.seq, part.outcome, part.class, part.code, part.place, part.lost_claims,
      part.retry_count + (part.outcome = 'RETRY')::integer as retry_count,
      part.request_failures + (part.outcome = 'UNANSWERED' and p_circuit_result = 'transient')::integer as request_failures,
      -- What a receipt counted without naming it, or never spoke of, may be among those that were taken.
      part.maybe_delivered or part.class is not distinct from 'AMBIGUOUS' or part.outcome = 'REQUEUED' as maybe_delivered,
      coalesce(part.was_omitted, 0::smallint) | coalesce(part.omitted, 0::smallint) as omitted,
      coalesce(part.part, part.old_part) as part,
      case
        when p_attempt_id is null then part.target
        else coalesce(v_claim.sent_targets[part.place], v_claim.sent_targets[1], part.target)
      end as target,
      hold.hold_id,
      case
        when part.outcome in ('RETRY', 'DEGRADED', 'DELAYED', 'UNANSWERED', 'RELEASED', 'REQUEUED')
          or part.outcome = 'HELD' and hold.hold_id is null
          then greatest(v_now + pg_catalog.make_interval(secs => coalesce(part.wait_seconds, 0)), part.not_before)
      end as next_attempt_at,
      conversion.expires_at
    from unnest(
      v_claim.conversion_ids, v_claim.seqs, v_claim.retry_counts, v_claim.request_failures, v_claim.lost_claims,
      v_claim.maybe_delivered, v_claim.targets, v_claim.omitted, v_claim.parts,
      p_outcomes, p_classes, p_codes, p_wait_seconds, p_not_before, p_hold_scopes, p_hold_keys, p_omitted, p_parts
    ) with ordinality as part (
      conversion_id, seq, retry_count, request_failures, lost_claims, maybe_delivered, target, was_omitted, old_part,
      outcome, class, code, wait_seconds, not_before, hold_scope, hold_key, omitted, part, place
    )
    -- Looked up only for what goes back or is parked; with a limit, so that it stays one look per conversion and is never
    -- turned round, and between bounds that are known before the query starts, so that it opens their partitions alone.
    left join lateral (
      select conversion.expires_at
      from relay.conversion
      where conversion.conversion_id = part.conversion_id
        and conversion.conversion_id >= v_first_id
        and conversion.conversion_id <= v_last_id
        and part.outcome = any (
          array['RETRY', 'DEGRADED', 'DELAYED', 'UNANSWERED', 'RELEASED', 'REQUEUED', 'HELD']
        )
      limit 1
    ) as conversion on true
    left join relay.hold
      on part.outcome = 'HELD'
      and hold.group_id = v_claim.group_id
      and hold.scope = part.hold_scope
      and hold.scope_key = part.hold_key
      and hold.lifted_at is null
  ), told as (
    insert into relay.conversion_outcome (
      conversion_id, seq, outcome, class, code, attempt_id, retry_count, next_attempt_at, sent_target, omitted, recorded_at
    )
    select
      settled.conversion_id, settled.seq, settled.outcome, settled.class, settled.code,
      coalesce(p_attempt_id, v_claim.receipt_attempt_id), settled.retry_count, settled.next_attempt_at,
      case
        when settled.maybe_delivered and settled.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED') then settled.target
      end,
      nullif(settled.omitted, 0), v_now
    from settled
    order by settled.conversion_id
  ), back as (
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, part, seq, failed_epoch, retry_count,
      request_failures, lost_claims, omitted, maybe_delivered
    )
    select
      v_claim.group_id, case when settled.expires_at < v_now + interval '48 hours' then 0 else 1 end,
      settled.next_attempt_at, settled.conversion_id, settled.expires_at, settled.target, settled.part, settled.seq,
      v_claim.circuit_epoch, settled.retry_count, settled.request_failures, settled.lost_claims, settled.omitted,
      settled.maybe_delivered
    from settled
    where settled.next_attempt_at is not null
  ), parked as (
    insert into relay.held (
      conversion_id, group_id, hold_id, seq, retry_count, target, omitted, maybe_delivered, expires_at
    )
    select
      settled.conversion_id, v_claim.group_id, settled.hold_id, settled.seq, settled.retry_count, settled.target,
      settled.omitted, settled.maybe_delivered, settled.expires_at
    from settled
    where settled.hold_id is not null
  )
  select
    pg_catalog.count(*) filter (
      where settled.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED')
    ),
    pg_catalog.count(*) filter (
      where settled.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'CANCELLED', 'UNCONFIRMED')
    ),
    pg_catalog.count(*) filter (
      where settled.outcome in ('RETRY', 'DEGRADED', 'DELAYED', 'UNANSWERED', 'REQUEUED')
    ),
    pg_catalog.count(*) filter (where settled.outcome = 'HELD'),
    pg_catalog.count(*) filter (where settled.outcome = 'SUBMITTED'),
    pg_catalog.count(*) filter (where settled.outcome = 'RELEASED'),
    pg_catalog.min(settled.next_attempt_at),
    pg_catalog.array_agg(settled.conversion_id order by settled.place) filter (where settled.outcome = 'SUBMITTED'),
    pg_catalog.array_agg(settled.target order by settled.place) filter (where settled.outcome = 'SUBMITTED')
  from settled
  into completed, failed, retry, held, submitted, released, v_back, v_submitted, v_targets;

  if p_attempt_id is not null then
    update relay.provider_upload_attempts
    set
      closed_at = v_now, state = 'CLOSED', http_status = p_http_status, provider_request_id = p_provider_request_id,
      error_code = p_error_code, error_category = p_error_category, completed_count = completed, failed_count = failed,
      retry_count = retry, held_count = held, submitted_count = submitted, duration_ms = p_duration_ms
    where provider_upload_attempts.attempt_id = p_attempt_id;
    if submitted > 0 then
      insert into relay.receipt (
        attempt_id, group_id, provider_request_id, next_poll_at, created_at, conversion_ids, targets, maybe_delivered, part
      )
      values (
        p_attempt_id, v_claim.group_id, p_provider_request_id, v_now + interval '30 minutes', v_now, v_submitted,
        case when pg_catalog.cardinality(v_claim.sent_targets) = 1 then v_claim.sent_targets else v_targets end,
        -- Conversions of one part are in a claim by themselves.
        true = any (v_claim.maybe_delivered), v_claim.parts[1]
      );
    end if;
  end if;

  -- While parts of a probe are still to go, one that never left does not end it.
  if v_claim.receipt_attempt_id is null and not (p_keep_slot and p_circuit_result = 'none') then
    circuit_change := relay.record_provider_outcome(v_claim.group_id, v_claim.circuit_epoch, p_circuit_result, v_now);
    perform
    from relay.provider_circuit
    where provider_circuit.state = 'HALF_OPEN' and provider_circuit.probe_token = v_claim.slot_token;
    if found then
      circuit_change := coalesce(relay.record_provider_probe(v_claim.slot_token, p_circuit_result, v_now), circuit_change);
    end if;
  end if;
  if p_throttle_scope = 'group' then
    update relay.delivery_group
    set
      throttled_until = greatest(
        delivery_group.throttled_until, v_now + pg_catalog.make_interval(secs => p_throttle_seconds)
      ),
      turn_at = greatest(delivery_group.turn_at, v_now + pg_catalog.make_interval(secs => p_throttle_seconds))
    where delivery_group.group_id = v_claim.group_id;
  end if;
  if v_back is not null then
    -- A claim that is emptying the group sees nothing of what goes back: it must have taken the group out of the line
    -- before we look whether it stands there.
    perform
    from relay.delivery_group
    where delivery_group.group_id = v_claim.group_id
    for no key update;
    perform relay.call_groups(array[v_claim.group_id], array[v_back]);
  end if;
  perform relay.call_orders(array[v_claim.group_id], v_claim.conversion_ids, v_now);
  perform relay.increment_provider_upload_metrics(
    v_claim.group_id, (p_attempt_id is not null)::integer, completed, failed, retry, held, submitted, v_now
  );

  accepted := true;
  hold_opened := coalesce(hold_opened, false);
  return next;
end;
$$;

comment on function relay.settle_claimed_conversions is
  'Settles a whole claim in one transaction: outcomes, what goes back to ready or is parked, holds, the ledger row, the '
  'receipt, throttles, circuit, transport and metrics, together or not at all. accepted is false where the claim was lost: then '
  'nothing changed, but the ledger row closed as STALE. Where credentials came after the claim, no hold is opened and its '
  'rows go again. Raises CR002 where the arrays do not fit the claim or an outcome is unknown. Locks, in this order: claim, slot, quota, circuit, '
  'group, holds, metrics.';

grant execute on function relay.settle_claimed_conversions to relay_service;
