create or replace function relay.take_gauges(
  p_group_limit integer,    -- groups of each provider that get a row of their own, the worst first
  p_page_limit integer default 2000,
  p_walk_limit integer default 100000,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
  -- Requests whose answers are still to come, and dead letters: counting stops here.
  c_receipts_limit constant integer := 20000;
  c_dead_limit constant integer := 10000;
  -- A group is silent after three times its usual gap, and is watched once it has come a few times.
  c_silent_factor constant double precision := 3;
  c_gap_least constant double precision := 300;
  c_arrivals_least constant bigint := 5;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_written integer;
begin
  if p_group_limit not between 0 and 10000 or p_page_limit not between 1 and 100000 or p_walk_limit not between 0 and 10000000 then
    raise exception 'p_group_limit must lie in 0 to 10000, p_page_limit in 1 to 100000, p_walk_limit in 0 to 10000000'
      using errcode = 'CR001';
  end if;
  delete from relay.gauge;
  with waits as materialized (
    select counted.* from relay.count_waiting(p_page_limit, p_walk_limit, v_now) as counted
  ), claimed as materialized (
    select inflight.group_id, pg_catalog.sum(pg_catalog.cardinality(inflight.conversion_ids)) as conversions
    from relay.inflight
    group by inflight.group_id
  ), pending as materialized (
    select receipt.group_id, receipt.attempt_id, receipt.created_at
    from relay.receipt
    where receipt.state = 'PENDING'
    limit c_receipts_limit + 1
  ), taken as materialized (
    select pending.group_id, pg_catalog.sum(attempt.submitted_count) as conversions, pg_catalog.min(pending.created_at) as oldest_at
    from pending
    -- One look for each: as a join it could become a hash of the whole ledger.
    cross join lateral (
      select ledger.submitted_count
      from relay.provider_upload_attempts as ledger
      where ledger.attempt_id = pending.attempt_id
      limit 1
    ) as attempt
    group by pending.group_id
  ), dead as materialized (
    select counted.* from relay.count_standing_dead_letters(c_dead_limit) as counted
  ), cut as materialized (
    select
      (select pg_catalog.count(*) from pending) > c_receipts_limit as submitted,
      exists (select from dead where not dead.walked_all) as dead_letters
  ), hour as materialized (
    select brought.* from relay.mark_totals(v_now) as brought
  ), stale as materialized (
    -- As runs told of it when they ended: one that was killed could not.
    select state.task_key, pg_catalog.sum((runs.counters ->> 'stale')::bigint) as outcomes
    from relay.task_state as state
    join relay.task_runs as runs
      on runs.task_key = state.task_key
      and runs.started_at > v_now - interval '90 minutes'
      and runs.ended_at > v_now - interval '1 hour'
      and runs.counters ? 'stale'
    group by state.task_key
  ), standing as materialized (
    select
      groups.group_id, groups.provider_key, groups.site_id,
      case when groups.hold_id is null then coalesce(waits.waiting, 0) else 0 end as backlog,
      case when groups.hold_id is null then coalesce(waits.least_waiting, 0) else 0 end as least_backlog,
      case when groups.hold_id is null then 0 else coalesce(greatest(waits.waiting, waits.least_waiting), 0) end
        + coalesce(waits.parked, 0) as held,
      case when groups.hold_id is null then waits.oldest_waiting_at end as oldest_waiting_at,
      coalesce(waits.at_risk, 0) as at_risk,
      coalesce(claimed.conversions, 0) as processing,
      coalesce(taken.conversions, 0) as submitted,
      taken.oldest_at as oldest_submitted_at,
      coalesce(dead.conversions, 0) as dead_letters,
      groups.hold_id is not null and site.removed_at is null as is_held,
      circuit.state as circuit,
      case when circuit.state <> 'CLOSED' then coalesce(circuit.probe_until, circuit.next_probe_at) end as next_probe_at,
      case when site.removed_at is null then hold.code else 'SITE_REMOVED' end as hold_code,
      delivery_score.score, delivery_score.delivered, delivery_score.failed,
      metrics.attempts_total, metrics.completed_total, metrics.failed_total, metrics.retry_total,
      case when metrics.attempts_total + metrics.failed_total > 0 then metrics.updated_at end as settled_at,
      metrics.last_arrival_at, metrics.usual_gap_seconds,
      coalesce(
        metrics.arrivals >= c_arrivals_least
          and site.removed_at is null
          and metrics.last_arrival_at < v_now - pg_catalog.make_interval(
            secs => c_silent_factor * greatest(metrics.usual_gap_seconds, c_gap_least)
          ),
        false
      ) as is_silent,
      coalesce(waits.waiting_is_estimate, false) as waiting_is_estimate,
      coalesce(waits.at_risk_is_estimate, false) as at_risk_is_estimate,
      coalesce(waits.parked > 0 and waits.parked_is_estimate, false) as parked_is_estimate
    from relay.delivery_group as groups
    join relay.provider_health_state as circuit on circuit.group_id = groups.group_id
    join relay.provider_upload_metrics as metrics on metrics.group_id = groups.group_id
    join relay.site on site.site_id = groups.site_id
    left join relay.delivery_score on delivery_score.group_id = groups.group_id
    left join relay.hold on hold.hold_id = groups.hold_id
    left join waits on waits.group_id = groups.group_id
    left join claimed on claimed.group_id = groups.group_id
    left join taken on taken.group_id = groups.group_id
    left join dead on dead.group_id = groups.group_id
  ), ranked as (
    select
      standing.*,
      pg_catalog.row_number() over (
        partition by standing.provider_key
        order by
          standing.is_held desc, standing.circuit = 'CLOSED', standing.at_risk desc, standing.is_silent desc,
          standing.backlog + standing.held desc, standing.group_id
      ) as place
    from standing
  )
  insert into relay.gauge (
    provider_key, place, site_id, taken_at, groups, backlog, oldest_waiting_at, at_risk, held, processing, submitted,
    oldest_submitted_at, dead_letters, held_groups, open_circuits, silent_groups, attempts_total, completed_total,
    failed_total, retry_total, completed_last_hour, failed_last_hour, retry_last_hour, stale_outcomes_last_hour,
    last_hour_from, circuit, next_probe_at, hold_code, last_settled_at, last_arrival_at, usual_gap_seconds, score,
    approximate
  )
  select
    whole.provider_key, 0, null, v_now, whole.groups,
    greatest(pg_catalog.round(whole.backlog), whole.least_backlog), whole.oldest_waiting_at, pg_catalog.round(whole.at_risk),
    pg_catalog.round(whole.held), whole.processing, whole.submitted, whole.oldest_submitted_at, whole.dead_letters,
    whole.held_groups, whole.open_circuits, whole.silent_groups, whole.attempts_total, whole.completed_total,
    whole.failed_total, whole.retry_total, coalesce(hour.completed, 0), coalesce(hour.failed, 0), coalesce(hour.retry, 0),
    coalesce(late.outcomes, 0), hour.since, provider_circuit.state,
    case
      when provider_circuit.state <> 'CLOSED' then coalesce(provider_circuit.probe_until, provider_circuit.next_probe_at)
    end,
    null, whole.settled_at, whole.last_arrival_at, null, whole.score,
    pg_catalog.array_remove(
      array[
        case when whole.backlog_is_estimate then 'backlog' end,
        case when whole.at_risk_is_estimate then 'at_risk' end,
        case when whole.held_is_estimate then 'held' end,
        case when cut.submitted then 'submitted' end,
        case when cut.dead_letters then 'dead_letters' end
      ],
      null
    )
  from (
    select
      case when grouping(standing.provider_key) = 1 then '*' else standing.provider_key end as provider_key,
      pg_catalog.count(*) as groups,
      coalesce(pg_catalog.sum(standing.backlog), 0) as backlog,
      coalesce(pg_catalog.sum(standing.least_backlog), 0) as least_backlog,
      pg_catalog.min(standing.oldest_waiting_at) as oldest_waiting_at,
      coalesce(pg_catalog.sum(standing.at_risk), 0) as at_risk,
      coalesce(pg_catalog.sum(standing.held), 0) as held,
      coalesce(pg_catalog.sum(standing.processing), 0) as processing,
      coalesce(pg_catalog.sum(standing.submitted), 0) as submitted,
      pg_catalog.min(standing.oldest_submitted_at) as oldest_submitted_at,
      coalesce(pg_catalog.sum(standing.dead_letters), 0) as dead_letters,
      pg_catalog.count(*) filter (where standing.is_held) as held_groups,
      pg_catalog.count(*) filter (where standing.circuit <> 'CLOSED') as open_circuits,
      pg_catalog.count(*) filter (where standing.is_silent) as silent_groups,
      coalesce(pg_catalog.sum(standing.attempts_total), 0) as attempts_total,
      coalesce(pg_catalog.sum(standing.completed_total), 0) as completed_total,
      coalesce(pg_catalog.sum(standing.failed_total), 0) as failed_total,
      coalesce(pg_catalog.sum(standing.retry_total), 0) as retry_total,
      pg_catalog.max(standing.settled_at) as settled_at,
      -- As each group's, of all that ended.
      pg_catalog.round(
        100.0 * pg_catalog.sum(standing.delivered) / nullif(pg_catalog.sum(standing.delivered + standing.failed), 0), 1
      ) as score,
      pg_catalog.max(standing.last_arrival_at) as last_arrival_at,
      coalesce(pg_catalog.bool_or(standing.waiting_is_estimate and not standing.is_held), false) as backlog_is_estimate,
      coalesce(pg_catalog.bool_or(standing.at_risk_is_estimate), false) as at_risk_is_estimate,
      coalesce(
        pg_catalog.bool_or(standing.parked_is_estimate or standing.waiting_is_estimate and standing.is_held), false
      ) as held_is_estimate
    from standing
    group by grouping sets ((standing.provider_key), ())
  ) as whole
  cross join cut
  left join relay.provider_circuit on provider_circuit.provider_key = whole.provider_key
  cross join lateral (
    select
      pg_catalog.min(hour.since) as since, pg_catalog.sum(hour.completed) as completed, pg_catalog.sum(hour.failed) as failed,
      pg_catalog.sum(hour.retry) as retry
    from hour
    where whole.provider_key in ('*', hour.provider_key)
  ) as hour
  cross join lateral (
    select pg_catalog.sum(stale.outcomes) as outcomes
    from stale
    where whole.provider_key = '*' or stale.task_key = 'upload:' || whole.provider_key
  ) as late
  union all
  select
    ranked.provider_key, ranked.place, ranked.site_id, v_now, 1,
    greatest(pg_catalog.round(ranked.backlog), ranked.least_backlog), ranked.oldest_waiting_at, pg_catalog.round(ranked.at_risk),
    pg_catalog.round(ranked.held), ranked.processing, ranked.submitted, ranked.oldest_submitted_at, ranked.dead_letters,
    ranked.is_held::integer, (ranked.circuit <> 'CLOSED')::integer, ranked.is_silent::integer, ranked.attempts_total,
    ranked.completed_total, ranked.failed_total, ranked.retry_total, null, null, null, null, null, ranked.circuit,
    ranked.next_probe_at, ranked.hold_code, ranked.settled_at, ranked.last_arrival_at, ranked.usual_gap_seconds, ranked.score,
    pg_catalog.array_remove(
      array[
        case when ranked.waiting_is_estimate and not ranked.is_held then 'backlog' end,
        case when ranked.at_risk_is_estimate then 'at_risk' end,
        case when ranked.parked_is_estimate or ranked.waiting_is_estimate and ranked.is_held then 'held' end,
        case when cut.submitted then 'submitted' end,
        case when cut.dead_letters then 'dead_letters' end
      ],
      null
    )
  from ranked
  cross join cut
  where ranked.place <= p_group_limit;
  get diagnostics v_written = row_count;
  return v_written;
end;
$$;

comment on function relay.take_gauges is
  'Takes the figures of relay.gauge anew, all as of one moment: of each provider, of all together (provider_key *), and of the '
  'p_group_limit worst groups of each provider (0 to 10000); says how many rows that is. Nothing in it grows with the backlog: '
  'what waits is counted or estimated as relay.count_waiting says, submitted stops counting at 20,000 requests and dead letters '
  'at 10,000; it does grow with the number of groups. Oldest: when the first conversion that waits in a group that is not held was '
  'due, and when the first request that is still to be answered left. At risk counts what expires within 48 hours wherever it '
  'waits, held or not. A group is silent after three times its usual gap (5 minutes at least) without a conversion; '
  'a site that was removed is neither held nor silent, and its hold_code is SITE_REMOVED. score: as relay.recompute_scores left it. Called '
  'under the lock of its task. Raises CR001 for bad arguments.';

grant execute on function relay.take_gauges to relay_service;
