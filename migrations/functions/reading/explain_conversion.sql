create or replace function relay.explain_conversion(
  p_conversion_id bigint,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns jsonb
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select pg_catalog.jsonb_build_object(
    'conversion_id', queue.id,
    'site_id', queue.site_id,
    'provider_key', queue.provider_key,
    'external_id', queue.sale_id,
    'kind', conversion.kind,
    'order_id', conversion.payload ->> 'order_id',
    'status', queue.status,
    'outcome', queue.outcome,
    'retry_count', queue.retry_count,
    'next_retry_at', queue.next_retry_at,
    'last_error', queue.last_error,
    'provider_request_id', queue.provider_request_id,
    'created_at', queue.created_at,
    'expires_at', conversion.expires_at,
    'blocked_by', case
      when queue.status in ('COMPLETED', 'FAILED') then null
      when queue.status = 'SUBMITTED' then 'RECEIPT_PENDING'
      when queue.status = 'PROCESSING' then 'IN_FLIGHT'
      when queue.status = 'HELD' and queue.last_error = 'NO_CREDENTIALS' then 'NO_CREDENTIALS'
      when queue.status = 'HELD' then 'HOLD'
      when blocked.conversion_id is not null then 'ORDER_BUSY'
      when pause.reason is not null then 'PAUSED'
      when provider_circuit.state = 'OPEN' then 'PROVIDER_CIRCUIT_OPEN'
      when provider_health_state.state = 'OPEN' then 'CIRCUIT_OPEN'
      when quota.throttled_until > clock.now or delivery_group.throttled_until > clock.now then 'THROTTLED'
      when queue.next_retry_at > clock.now then 'NOT_DUE'
      when provider_circuit.state = 'HALF_OPEN' then 'PROVIDER_CIRCUIT_HALF_OPEN'
      when provider_health_state.state = 'HALF_OPEN' then 'CIRCUIT_HALF_OPEN'
      when budget.requests < 1 then 'QUOTA'
      when delivery_group.linger_until > clock.now and delivery_group.turn_at > clock.now then 'LINGERING'
      when not exists (
        select
        from relay.upload_slot
        where upload_slot.quota_key = quota.quota_key
          and upload_slot.slot_no <= quota.slots
          and upload_slot.lease_until <= clock.now
      ) then 'SLOTS_IN_USE'
      else 'IN_LINE'
    end,
    'blocked_until', case
      when queue.status in ('COMPLETED', 'FAILED', 'SUBMITTED', 'PROCESSING', 'HELD') or blocked.conversion_id is not null then null
      when pause.reason is not null then greatest(nullif(pause.paused_until, 'infinity'), queue.next_retry_at)
      when provider_circuit.state = 'OPEN' or provider_health_state.state = 'OPEN'
        then greatest(queue.next_retry_at, provider_health_state.next_probe_at, provider_circuit.next_probe_at)
      when quota.throttled_until > clock.now or delivery_group.throttled_until > clock.now
        then greatest(quota.throttled_until, delivery_group.throttled_until, queue.next_retry_at)
      when queue.next_retry_at > clock.now then queue.next_retry_at
      when budget.requests < 1 then budget.next_at
      when delivery_group.linger_until > clock.now and delivery_group.turn_at > clock.now then delivery_group.turn_at
    end,
    'blocked_because', case when queue.status in ('QUEUED', 'RETRY') then pause.reason end,
    'waits_for', blocked.head,
    'rows_ahead', case
      when queue.status in ('QUEUED', 'RETRY') and blocked.conversion_id is null then (
        select pg_catalog.count(*)
        from (
          (
            select
            from relay.ready
            where place.band = 1 and ready.group_id = conversion.group_id and ready.band = 0
            limit 10001
          )
          union all
          (
            select
            from relay.ready
            where ready.group_id = conversion.group_id
              and ready.band = place.band
              and (ready.next_attempt_at, ready.conversion_id) < (place.next_attempt_at, conversion.conversion_id)
            limit 10001
          )
          limit 10001
        ) as ahead
      )
    end,
    'timeline', pg_catalog.jsonb_build_array(
      pg_catalog.jsonb_build_object('at', conversion.created_at, 'event', 'ENQUEUED', 'next_attempt_at', conversion.due_at)
    ) || coalesce(
      (
        select pg_catalog.jsonb_agg(
          pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
            'at', outcome.recorded_at,
            'event', outcome.outcome,
            'seq', outcome.seq,
            'class', outcome.class,
            'code', outcome.code,
            'retry_count', outcome.retry_count,
            'next_attempt_at', outcome.next_attempt_at,
            'omitted', outcome.omitted,
            'attempt_id', outcome.attempt_id,
            'run_id', attempt.run_id,
            'transport', attempt.transport,
            'http_status', attempt.http_status,
            'provider_request_id', attempt.provider_request_id,
            'request_conversions', attempt.conversions,
            'request_state', attempt.state,
            'duration_ms', attempt.duration_ms
          ))
          order by outcome.seq
        )
        from relay.conversion_outcome as outcome
        left join relay.provider_upload_attempts as attempt on attempt.attempt_id = outcome.attempt_id
        where outcome.conversion_id = p_conversion_id
      ),
      '[]'
    )
  )
  from clock
  join relay.conversion on conversion.conversion_id = p_conversion_id
  join relay.offline_conversion_queue as queue on queue.id = p_conversion_id and queue.sale_id = conversion.external_id
  join relay.delivery_group on delivery_group.group_id = conversion.group_id
  join relay.provider_health_state on provider_health_state.group_id = conversion.group_id
  left join relay.provider_circuit on provider_circuit.provider_key = delivery_group.provider_key
  left join relay.blocked on blocked.conversion_id = conversion.conversion_id
  left join relay.quota on quota.quota_key = delivery_group.quota_key
  left join lateral relay.read_budget(quota, clock.now) as budget on quota.quota_key is not null
  -- Of two pauses the longer one.
  left join lateral (
    select pause.reason, pause.paused_until
    from relay.pause
    where pause.provider_key = delivery_group.provider_key
      and (pause.site_id is null or pause.site_id = delivery_group.site_id)
      and pause.paused_until > clock.now
    order by pause.paused_until desc
    limit 1
  ) as pause on true
  left join lateral (
    select ready.band, ready.next_attempt_at
    from relay.ready
    where queue.status in ('QUEUED', 'RETRY')
      and ready.group_id = conversion.group_id
      and ready.band in (0, 1)
      and ready.next_attempt_at = coalesce(
        (
          select outcome.next_attempt_at
          from relay.conversion_outcome as outcome
          where outcome.conversion_id = conversion.conversion_id
          order by outcome.seq desc
          limit 1
        ),
        conversion.due_at
      )
      and ready.conversion_id = conversion.conversion_id
    limit 1
  ) as place on true;
$$;

comment on function relay.explain_conversion is
  'One conversion as a JSON document: where it stands, the first thing that blocks it (a hold, another write of its order, which waits_for names, a pause, a circuit, the '
  'provider''s wish, its own time, the request budget, slots, nothing) and until when, how many rows of its group go before '
  'it (counted to 10001), until when the provider takes it, and its whole timeline. Null where there is none.';

grant execute on function relay.explain_conversion to relay_service, relay_operator;
