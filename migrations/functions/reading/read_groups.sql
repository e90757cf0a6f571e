create or replace function relay.read_groups(
  p_site_id uuid,           -- null: every site
  p_limit integer
)
returns table (
  site_id uuid, provider_key text, waiting bigint, at_risk bigint, held bigint, processing bigint,
  oldest_due_at timestamptz, circuit text, failure_count integer, next_probe_at timestamptz, hold_code text,
  throttled_until timestamptz, attempts_total bigint, completed_total bigint, failed_total bigint, retry_total bigint,
  submitted_total bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    delivery_group.site_id, delivery_group.provider_key, backlog.waiting, backlog.at_risk,
    (select pg_catalog.count(*) from relay.held where held.group_id = delivery_group.group_id),
    (
      select coalesce(pg_catalog.sum(pg_catalog.cardinality(inflight.conversion_ids)), 0)
      from relay.inflight
      where inflight.group_id = delivery_group.group_id
    ),
    backlog.oldest_due_at, provider_health_state.state, provider_health_state.failure_count,
    provider_health_state.next_probe_at, hold.code,
    -- A pause without an end has none to show.
    nullif(nullif(greatest(delivery_group.throttled_until, quota.throttled_until), '-infinity'), 'infinity'),
    metrics.attempts_total, metrics.completed_total, metrics.failed_total, metrics.retry_total, metrics.submitted_total
  from relay.delivery_group
  join relay.provider_health_state on provider_health_state.group_id = delivery_group.group_id
  join relay.provider_upload_metrics as metrics on metrics.group_id = delivery_group.group_id
  left join relay.hold on hold.hold_id = delivery_group.hold_id
  left join relay.quota on quota.quota_key = delivery_group.quota_key
  cross join lateral (
    -- Counting stops at 10,001: a look at the status must not walk a million rows.
    select
      pg_catalog.count(*) as waiting,
      pg_catalog.count(*) filter (where first.band = 0) as at_risk,
      pg_catalog.min(first.next_attempt_at) as oldest_due_at
    from (
      select ready.band, ready.next_attempt_at
      from relay.ready
      where ready.group_id = delivery_group.group_id
      order by ready.group_id, ready.band, ready.next_attempt_at
      limit 10001
    ) as first
  ) as backlog
  where p_site_id is null or delivery_group.site_id = p_site_id
  order by coalesce(hold.code = 'SITE_REMOVED', true), provider_health_state.state = 'CLOSED', backlog.waiting desc, delivery_group.group_id
  limit p_limit;
$$;

comment on function relay.read_groups is
  'How each group stands, the worst first: held (a site that was removed is not), then open, then by backlog. waiting and at_risk stop counting at 10001.';

grant execute on function relay.read_groups to relay_service, relay_operator;
