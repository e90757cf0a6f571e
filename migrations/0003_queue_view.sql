-- The view in which an operator sees where each conversion stands.
-- oldest program: 0.1.0

create view relay.offline_conversion_queue as
select
  conversion.conversion_id as id,
  delivery_group.site_id,
  delivery_group.provider_key,
  conversion_key.external_id as sale_id,
  case
    when latest.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED') then 'COMPLETED'
    when latest.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'CANCELLED', 'UNCONFIRMED') then 'FAILED'
    when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then
      case
        when receipt.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED') then 'COMPLETED'
        else 'FAILED'
      end
    when latest.outcome = 'SUBMITTED' then 'SUBMITTED'
    when held.conversion_id is not null then 'HELD'
    when waiting.conversion_id is not null and delivery_group.hold_id is not null then 'HELD'
    when waiting.conversion_id is not null and waiting.target is null then 'QUEUED'
    when waiting.conversion_id is not null then 'RETRY'
    else 'PROCESSING'
  end as status,
  case
    when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then pg_catalog.lower(receipt.outcome)
    else pg_catalog.lower(latest.outcome)
  end as outcome,
  coalesce(latest.retry_count, 0)::integer as retry_count,
  case
    when waiting.conversion_id is null or delivery_group.hold_id is not null then null
    when provider_health_state.state = 'OPEN' and waiting.next_attempt_at <= provider_health_state.next_probe_at then
      provider_health_state.next_probe_at + pg_catalog.make_interval(secs => (conversion.conversion_id % 31)::double precision)
    else waiting.next_attempt_at
  end as next_retry_at,
  case
    when held.conversion_id is not null then row_hold.code
    when waiting.conversion_id is not null and delivery_group.hold_id is not null then group_hold.code
    when waiting.conversion_id is not null and provider_health_state.state = 'OPEN'
      and waiting.next_attempt_at <= provider_health_state.next_probe_at then 'CIRCUIT_OPEN'
    when latest.outcome = 'SUBMITTED' and receipt.state = 'SETTLED' then receipt.code
    when latest.outcome in ('DELIVERED', 'SUBMITTED') then null
    else latest.code
  end as last_error,
  case
    when latest.outcome in ('DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUBMITTED') then latest.recorded_at
  end as uploaded_at,
  attempt.provider_request_id,
  latest.code as provider_error_code,
  latest.class as provider_error_category,
  working.claimed_at,
  conversion.created_at,
  coalesce(receipt.settled_at, latest.recorded_at, conversion.created_at) as updated_at
from relay.conversion_key
join relay.conversion
  on conversion.conversion_id = conversion_key.conversion_id
  and conversion.external_id = conversion_key.external_id
  and conversion.group_id = conversion_key.group_id
join relay.delivery_group on delivery_group.group_id = conversion_key.group_id
join relay.provider_health_state on provider_health_state.group_id = conversion_key.group_id
left join lateral (
  select outcome.*
  from relay.conversion_outcome as outcome
  where outcome.conversion_id = conversion_key.conversion_id
  order by outcome.seq desc
  limit 1
) as latest on true
left join relay.receipt on latest.outcome = 'SUBMITTED' and receipt.attempt_id = latest.attempt_id
-- With a limit, so that it stays one look into one partition and never becomes a hash of the whole ledger.
left join lateral (
  select ledger.provider_request_id
  from relay.provider_upload_attempts as ledger
  where ledger.attempt_id = latest.attempt_id
  limit 1
) as attempt on true
left join relay.held on held.conversion_id = conversion_key.conversion_id
left join relay.hold as row_hold on row_hold.hold_id = held.hold_id
left join relay.hold as group_hold on group_hold.hold_id = delivery_group.hold_id
-- The whole key of ready is known: see the comment on the table.
left join lateral (
  select ready.conversion_id, ready.next_attempt_at, ready.target
  from relay.ready
  where ready.group_id = conversion_key.group_id
    and ready.band in (0, 1)
    and ready.next_attempt_at = coalesce(latest.next_attempt_at, conversion.due_at)
    and ready.conversion_id = conversion_key.conversion_id
  limit 1
) as waiting on true
left join lateral (
  select inflight.claimed_at
  from relay.inflight
  where waiting.conversion_id is null
    and held.conversion_id is null
    and inflight.group_id = conversion_key.group_id
    and conversion_key.conversion_id = any (inflight.conversion_ids)
  limit 1
) as working on true;

comment on view relay.offline_conversion_queue is
  'Where each conversion stands. Ask by sale_id, by id, or by site: it takes milliseconds. Counting the whole of it walks '
  'the whole of it: dashboards read relay.gauge instead.';

grant select on relay.offline_conversion_queue, relay.provider_health_state, relay.provider_upload_metrics to relay_operator;
grant select on relay.provider_upload_attempts, relay.task_runs, relay.hold, relay.conversion_outcome to relay_operator;
