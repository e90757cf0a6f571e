create or replace function relay.mark_totals(
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  provider_key text, since timestamptz, completed bigint, failed bigint, retry bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_hour timestamptz := v_now - interval '1 hour';
begin
  insert into relay.gauge_mark (provider_key, marked_at, completed_total, failed_total, retry_total)
  select
    metrics.provider_key, v_now, pg_catalog.sum(metrics.completed_total), pg_catalog.sum(metrics.failed_total),
    pg_catalog.sum(metrics.retry_total)
  from relay.provider_upload_metrics as metrics
  group by metrics.provider_key
  on conflict do nothing;
  -- The one before the hour stays: what was added since then is what the hour brought.
  delete from relay.gauge_mark
  where gauge_mark.marked_at < (
    select pg_catalog.max(before.marked_at)
    from relay.gauge_mark as before
    where before.provider_key = gauge_mark.provider_key and before.marked_at <= v_hour
  );

  return query
  select
    newest.provider_key,
    coalesce(born.at, base.marked_at),
    greatest(0, newest.completed_total - case when born.at is null then base.completed_total else 0 end),
    greatest(0, newest.failed_total - case when born.at is null then base.failed_total else 0 end),
    greatest(0, newest.retry_total - case when born.at is null then base.retry_total else 0 end)
  from relay.gauge_mark as newest
  cross join lateral (
    select gauge_mark.*
    from relay.gauge_mark
    where gauge_mark.provider_key = newest.provider_key
    order by gauge_mark.marked_at
    limit 1
  ) as base
  -- A provider whose first group came within the hour has counted nothing before it.
  cross join lateral (
    select case when pg_catalog.min(delivery_group.created_at) > v_hour then pg_catalog.min(delivery_group.created_at) end as at
    from relay.delivery_group
    where delivery_group.provider_key = newest.provider_key
  ) as born
  where newest.marked_at = v_now;
end;
$$;

comment on function relay.mark_totals is
  'Writes down what each provider has counted so far, and says what the last hour brought: what was added since the last mark '
  'that is an hour old, or since the first one. Walks the groups. Called by relay.take_gauges.';
