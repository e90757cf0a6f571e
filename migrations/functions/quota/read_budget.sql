create or replace function relay.read_budget(
  p_quota relay.quota,
  p_at timestamptz
)
returns table (
  next_at timestamptz, requests integer, used double precision, full_at timestamptz, minute_pace interval,
  day_pace interval
)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  -- The generic cell rate algorithm, once for the minute and once for the day. A tenth of the minute's requests may go at
  -- once, and a fifth of the day's; the pace of the others leaves room for that burst, so that no window of 60 s or 24 h,
  -- wherever it begins, holds more than its limit. Paces are rounded up to the microsecond that timestamps can tell.
  with window_limit (name, requests, seconds, burst, full_at) as (
    values
      ('minute', p_quota.per_minute, 60, greatest(1, p_quota.per_minute / 10), p_quota.minute_at),
      ('day', p_quota.per_day, 86400, greatest(1, p_quota.per_day / 5), p_quota.day_at)
  ), paced as (
    select
      window_limit.name,
      window_limit.burst,
      pg_catalog.ceil(
        window_limit.seconds * 1000000::double precision / (window_limit.requests - window_limit.burst + 1)
      ) / 1000000 as seconds,
      extract(epoch from greatest(window_limit.full_at, p_at) - p_at)::double precision as ahead
    from window_limit
    where window_limit.requests is not null
  )
  select
    greatest(
      p_at,
      p_quota.throttled_until,
      p_at + pg_catalog.make_interval(secs => pg_catalog.max(paced.ahead - (paced.burst - 1) * paced.seconds))
    ),
    coalesce(pg_catalog.min(pg_catalog.floor(paced.burst - paced.ahead / paced.seconds)), 1000000)::integer,
    coalesce(pg_catalog.max(least(paced.ahead / (paced.burst * paced.seconds), 1)), 0)::double precision,
    p_at + pg_catalog.make_interval(secs => coalesce(pg_catalog.max(paced.ahead), 0)),
    pg_catalog.make_interval(secs => pg_catalog.max(paced.seconds) filter (where paced.name = 'minute')),
    pg_catalog.make_interval(secs => pg_catalog.max(paced.seconds) filter (where paced.name = 'day'))
  from paced;
$$;

comment on function relay.read_budget is
  'What a quota key may still send, as of a time: when the next request may leave, how many may leave at that time without '
  'a wait (below 1: none), what part of the burst is used (0 to 1), when none of it will be, and what each request takes of the minute and of the day '
  '(null: no limit). One row. Reads nothing: called with a row of quota.';
