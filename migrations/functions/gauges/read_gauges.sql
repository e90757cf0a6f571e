create or replace function relay.read_gauges(
  p_group_limit integer,    -- groups of each provider; 0: the providers alone
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  provider_key text, site_id uuid, age_seconds double precision, taken_at timestamptz, groups integer, backlog bigint,
  oldest_waiting_at timestamptz, oldest_waiting_seconds double precision, at_risk bigint, held bigint, processing bigint,
  submitted bigint, oldest_submitted_at timestamptz, oldest_submitted_seconds double precision, dead_letters bigint,
  held_groups integer, open_circuits integer, silent_groups integer, attempts_total bigint, completed_total bigint,
  failed_total bigint, retry_total bigint, completed_last_hour bigint, failed_last_hour bigint, retry_last_hour bigint,
  stale_outcomes_last_hour bigint, last_hour_from timestamptz, circuit text, next_probe_at timestamptz, hold_code text,
  last_settled_at timestamptz, last_arrival_at timestamptz, usual_gap_seconds double precision, score numeric,
  approximate text[]
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with clock as materialized (
    select coalesce(p_now, pg_catalog.clock_timestamp()) as now
  )
  select
    gauge.provider_key, gauge.site_id, extract(epoch from clock.now - gauge.taken_at)::double precision, gauge.taken_at,
    gauge.groups, gauge.backlog, gauge.oldest_waiting_at,
    case
      when gauge.oldest_waiting_at is not null then greatest(0, extract(epoch from gauge.taken_at - gauge.oldest_waiting_at))::double precision
    end,
    gauge.at_risk, gauge.held, gauge.processing, gauge.submitted, gauge.oldest_submitted_at,
    case
      when gauge.oldest_submitted_at is not null then greatest(0, extract(epoch from gauge.taken_at - gauge.oldest_submitted_at))::double precision
    end,
    gauge.dead_letters, gauge.held_groups, gauge.open_circuits, gauge.silent_groups, gauge.attempts_total,
    gauge.completed_total, gauge.failed_total, gauge.retry_total, gauge.completed_last_hour, gauge.failed_last_hour,
    gauge.retry_last_hour, gauge.stale_outcomes_last_hour, gauge.last_hour_from, gauge.circuit, gauge.next_probe_at,
    gauge.hold_code, gauge.last_settled_at, gauge.last_arrival_at, gauge.usual_gap_seconds, gauge.score,
    gauge.approximate
  from clock
  cross join relay.gauge
  where gauge.place <= p_group_limit
  order by gauge.place, gauge.provider_key;
$$;

comment on function relay.read_gauges is
  'The figures that relay.take_gauges took last: of all providers together (provider_key *), of each, then of the worst groups, '
  'as many of each provider as there are and are wanted. The oldest are as old as they were when the figures were taken; one '
  'that is not due yet is 0 seconds old.';

grant execute on function relay.read_gauges to relay_service, relay_operator;
