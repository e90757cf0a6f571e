create or replace function relay.tally_hours(
  p_window_days integer,
  p_outcomes integer,       -- a day of more outcomes is counted by the hour
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (day date, groups integer, hours_left integer, days_left integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
-- The index on recorded_at knows which pages hold a day; a plan that was made before would read all of history.
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  -- What was recorded at the end of a day may be committed a while after it; nothing runs for longer.
  c_settled_after constant interval := interval '10 minutes';
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_last date := (v_now - c_settled_after)::date - 1;
  v_day date;
  v_hours smallint;
  v_from timestamptz;
  v_to timestamptz;
begin
  if p_window_days not between 1 and 3650 or p_outcomes not between 1 and 100000000 then
    raise exception 'p_window_days must lie in 1 to 3650, p_outcomes in 1 to 100000000' using errcode = 'CR001';
  end if;
  select pg_catalog.min(missing.day), pg_catalog.count(*) - 1
  from (
    select given.day::date as day
    from pg_catalog.generate_series(v_last - (p_window_days - 1), v_last, interval '1 day') as given (day)
    where not exists (select from relay.scored_day where scored_day.day = given.day::date and scored_day.hours = 24)
  ) as missing
  into v_day, days_left;
  if v_day is null then
    return;
  end if;
  -- Of two at once the second waits here, and then does what is next.
  insert into relay.scored_day (day, tallied_at, hours) values (v_day, v_now, 0) on conflict do nothing;
  select scored_day.hours from relay.scored_day where scored_day.day = v_day for update into v_hours;
  if v_hours = 24 then
    return query select counted.* from relay.tally_hours(p_window_days, p_outcomes, p_now) as counted;
    return;
  end if;
  v_from := v_day + v_hours * interval '1 hour';
  v_to := v_day + 1;
  if (
    select pg_catalog.count(*) > p_outcomes
    from (
      select
      from relay.conversion_outcome as outcome
      where outcome.recorded_at >= v_from and outcome.recorded_at < v_to
      limit p_outcomes + 1
    ) as told
  ) then
    v_to := v_from + interval '1 hour';
  end if;
  update relay.scored_day
  set hours = extract(epoch from v_to - v_day) / 3600, tallied_at = v_now
  where scored_day.day = v_day
  returning 24 - scored_day.hours into hours_left;

  with told as materialized (
    select outcome.conversion_id, outcome.seq, outcome.attempt_id, outcome.outcome
    from relay.conversion_outcome as outcome
    where outcome.recorded_at >= v_from
      and outcome.recorded_at < v_to
      and outcome.outcome in (
        'DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'REJECTED', 'EXPIRED', 'EXHAUSTED',
        'CANCELLED', 'UNCONFIRMED', 'REQUEUED'
      )
  ), ends as (
    -- Those of one request are of one group, which the ledger knows: one look for all of them.
    select
      attempt.group_id, ended.delivered, ended.failed, ended.neutral
    from (
      select
        told.attempt_id,
        pg_catalog.count(*) filter (where told.outcome = 'DELIVERED') as delivered,
        pg_catalog.count(*) filter (where told.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'UNCONFIRMED')) as failed,
        pg_catalog.count(*) filter (
          where told.outcome in ('DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'CANCELLED')
        ) as neutral
      from told
      where told.attempt_id is not null and told.outcome <> 'REQUEUED'
      group by told.attempt_id
    ) as ended
    cross join lateral (
      select ledger.group_id
      from relay.provider_upload_attempts as ledger
      where ledger.attempt_id = ended.attempt_id
      limit 1
    ) as attempt
    union all
    select
      conversion.group_id,
      0,
      case
        when told.outcome in ('REJECTED', 'EXPIRED', 'EXHAUSTED', 'UNCONFIRMED') then 1
        -- A dead letter that goes again has not come to its end.
        when told.outcome = 'REQUEUED' then -1
        else 0
      end,
      case when told.outcome in ('DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'CANCELLED') then 1 else 0 end
    from told
    left join lateral (
      select before.outcome
      from relay.conversion_outcome as before
      where told.outcome = 'REQUEUED' and before.conversion_id = told.conversion_id and before.seq = told.seq - 1
      limit 1
    ) as before on true
    cross join lateral (
      select conversion.group_id
      from relay.conversion
      where conversion.conversion_id = told.conversion_id
      limit 1
    ) as conversion
    where told.attempt_id is null
      and (told.outcome <> 'REQUEUED' or before.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED'))
    union all
    -- A receipt that is settled whole wrote no outcome for each of its conversions.
    select receipt.group_id, pg_catalog.cardinality(receipt.conversion_ids), 0, 0
    from relay.receipt
    where receipt.state = 'SETTLED'
      and receipt.settled_at >= v_from
      and receipt.settled_at < v_to
      and receipt.outcome = 'DELIVERED'
  ), tallied as (
    select
      ends.group_id, pg_catalog.sum(ends.delivered) as delivered, pg_catalog.sum(ends.failed) as failed,
      pg_catalog.sum(ends.neutral) as neutral
    from ends
    group by ends.group_id
  ), sent as (
    select
      attempt.group_id, pg_catalog.count(*) as requests,
      pg_catalog.count(*) filter (
        where attempt.state <> 'CLOSED' or attempt.error_category in ('TRANSIENT', 'AMBIGUOUS')
      ) as requests_failed
    from relay.provider_upload_attempts as attempt
    where attempt.attempt_id >= relay.id_floor(v_from) and attempt.attempt_id < relay.id_floor(v_to)
    group by attempt.group_id
  )
  insert into relay.delivery_day as counted (day, group_id, delivered, failed, neutral, requests, requests_failed)
  select
    v_day, coalesce(tallied.group_id, sent.group_id), coalesce(tallied.delivered, 0), coalesce(tallied.failed, 0),
    coalesce(tallied.neutral, 0), coalesce(sent.requests, 0), coalesce(sent.requests_failed, 0)
  from tallied
  full join sent on sent.group_id = tallied.group_id
  on conflict (day, group_id) do update
  set
    delivered = counted.delivered + excluded.delivered, failed = counted.failed + excluded.failed,
    neutral = counted.neutral + excluded.neutral, requests = counted.requests + excluded.requests,
    requests_failed = counted.requests_failed + excluded.requests_failed;
  get diagnostics groups = row_count;
  day := v_day;
  return next;
end;
$$;

comment on function relay.tally_hours is
  'Counts what came to an end on the oldest day (UTC) of the last p_window_days that is over and was not counted whole yet, by '
  'group, from outcomes, settled receipts and the ledger: the rest of the day, or an hour of it where more than p_outcomes '
  '(1 to 100000000) stand in the rest. One row: which day, how many groups, how many hours of it are left, how many other days. '
  'No row: every day is counted. An hour is counted once and never again, so that calling twice changes nothing. Raises CR001 '
  'for bad arguments. Locks: the day.';

grant execute on function relay.tally_hours to relay_service;
