create or replace function relay.expire_conversions(
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (examined integer, expired integer, hastened integer, finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
set enable_bitmapscan = off
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_from relay.expiry_walk;
  v_counts jsonb;
  v_hastened integer[];
  v_ended_groups integer[];
  v_ended_ids bigint[];
begin
  if p_limit not between 1 and 1000000 then
    raise exception 'p_limit must lie in 1 to 1000000' using errcode = 'CR001';
  end if;
  -- One walker at a time; a second one has nothing to do.
  select expiry_walk.* from relay.expiry_walk for update skip locked into v_from;
  if v_from.singleton is null then
    return query select 0, 0, 0, true;
    return;
  end if;

  with seen as materialized (
    select ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id, ready.expires_at
    from relay.ready
    where (ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id)
      > (v_from.group_id, v_from.band, v_from.next_attempt_at, v_from.conversion_id)
    order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
    limit p_limit
  ), due as materialized (
    -- What a claim holds at this moment is being worked on, and its own claim ends what has expired.
    select ready.*
    from seen
    join relay.ready
      on ready.group_id = seen.group_id
      and ready.band = seen.band
      and ready.next_attempt_at = seen.next_attempt_at
      and ready.conversion_id = seen.conversion_id
    where seen.expires_at <= v_now or seen.band = 1 and seen.expires_at < v_now + interval '48 hours'
    for update of ready skip locked
  ), gone as (
    delete from relay.ready
    using due
    where ready.group_id = due.group_id
      and ready.band = due.band
      and ready.next_attempt_at = due.next_attempt_at
      and ready.conversion_id = due.conversion_id
  ), hastened as (
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, part, seq, failed_epoch, retry_count,
      request_failures, lost_claims, omitted, maybe_delivered
    )
    select
      due.group_id, 0, due.next_attempt_at, due.conversion_id, due.expires_at, due.target, due.part, due.seq,
      due.failed_epoch, due.retry_count, due.request_failures, due.lost_claims, due.omitted, due.maybe_delivered
    from due
    where due.expires_at > v_now
    returning ready.group_id
  ), unheld as materialized (
    select held.*
    from relay.held
    where held.expires_at <= v_now
    order by held.expires_at
    limit p_limit
    for update skip locked
  ), freed as (
    delete from relay.held using unheld where held.conversion_id = unheld.conversion_id
  ), unblocked as materialized (
    select blocked.*
    from relay.blocked
    where blocked.expires_at <= v_now
    order by blocked.expires_at
    limit p_limit
    for update skip locked
  ), released as (
    delete from relay.blocked using unblocked where blocked.conversion_id = unblocked.conversion_id
  ), late as materialized (
    select due.group_id, due.conversion_id, due.seq, due.retry_count, due.maybe_delivered, due.target, due.omitted
    from due
    where due.expires_at <= v_now
    union all
    select
      unheld.group_id, unheld.conversion_id, unheld.seq, unheld.retry_count, unheld.maybe_delivered, unheld.target,
      unheld.omitted
    from unheld
    union all
    select
      unblocked.group_id, unblocked.conversion_id, unblocked.seq, unblocked.retry_count, unblocked.maybe_delivered,
      unblocked.target, unblocked.omitted
    from unblocked
  ), ended as (
    -- What an earlier request may have delivered has not failed for all that anybody knows.
    insert into relay.conversion_outcome (
      conversion_id, seq, outcome, class, code, retry_count, sent_target, omitted, recorded_at
    )
    select
      late.conversion_id, late.seq + 1,
      case when late.maybe_delivered then 'UNCONFIRMED' else 'EXPIRED' end,
      case when late.maybe_delivered then 'AMBIGUOUS' else 'PERM' end,
      case when late.maybe_delivered then 'EXPIRED_PERHAPS_DELIVERED' else 'EXPIRED_BEFORE_DELIVERY' end,
      late.retry_count, case when late.maybe_delivered then late.target end, nullif(late.omitted, 0), v_now
    from late
    returning 1
  ), per_group as (
    select late.group_id, pg_catalog.count(*) as conversions
    from late
    group by late.group_id
  ), last as (
    select seen.group_id, seen.band, seen.next_attempt_at, seen.conversion_id
    from seen
    order by seen.group_id desc, seen.band desc, seen.next_attempt_at desc, seen.conversion_id desc
    limit 1
  ), moved as (
    -- At the end of the table the walk begins anew.
    update relay.expiry_walk
    set
      group_id = coalesce((select last.group_id from last where (select pg_catalog.count(*) from seen) = p_limit), 0),
      band = coalesce((select last.band from last), 0),
      next_attempt_at = coalesce((select last.next_attempt_at from last), '-infinity'),
      conversion_id = coalesce((select last.conversion_id from last), 0)
    where expiry_walk.singleton
  )
  select
    (select pg_catalog.count(*) from seen),
    (select pg_catalog.count(*) from ended),
    (select pg_catalog.count(*) from hastened),
    (select pg_catalog.count(*) from seen) < p_limit,
    (select pg_catalog.jsonb_object_agg(per_group.group_id, per_group.conversions) from per_group),
    (select pg_catalog.array_agg(distinct hastened.group_id) from hastened),
    (select pg_catalog.array_agg(per_group.group_id) from per_group),
    (select pg_catalog.array_agg(late.conversion_id) from late)
  into examined, expired, hastened, finished, v_counts, v_hastened, v_ended_groups, v_ended_ids;

  -- A claim that met these rows locked may have sent their group away.
  if v_hastened is not null then
    perform relay.call_groups(v_hastened, pg_catalog.array_fill(v_now, array[pg_catalog.cardinality(v_hastened)]));
    -- They keep the time at which they were due, which may lie below the floor of those that are urgent.
    perform
    from relay.delivery_group
    where delivery_group.group_id = any (v_hastened)
    order by delivery_group.group_id
    for no key update;
    update relay.delivery_group
    set urgent_floor_at = '-infinity'
    where delivery_group.group_id = any (v_hastened) and delivery_group.urgent_floor_at > '-infinity';
  end if;

  if v_ended_ids is not null then
    perform relay.call_orders(v_ended_groups, v_ended_ids, v_now);
  end if;
  perform relay.increment_provider_upload_metrics(late.group_id, 0, 0, late.conversions, 0, 0, 0, v_now)
  from (
    select counted.key::integer as group_id, counted.value::integer as conversions
    from pg_catalog.jsonb_each_text(v_counts) as counted (key, value)
    order by 1
  ) as late;
  return next;
end;
$$;

comment on function relay.expire_conversions is
  'Walks on through ready by p_limit rows (1 to 1000000), from where the last call stopped: ends what is past its time '
  'wherever it waits, what is parked or waits for its order included, and puts what expires within 48 hours first (hastened). finished: the '
  'walk came to the end, and the next call begins anew. Its cost is p_limit and not the backlog. Takes no lock that a claim '
  'would wait for: rows, then groups, then metrics. Raises CR001 for a bad limit.';

grant execute on function relay.expire_conversions to relay_service;
