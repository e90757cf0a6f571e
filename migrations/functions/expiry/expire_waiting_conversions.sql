create or replace function relay.expire_waiting_conversions(
  p_site_id uuid,           -- null: every site
  p_band smallint,          -- 0: what expires within 48 hours, parked and blocked ones with it; 1: all else
  p_after jsonb,            -- null: from the beginning; else next_after of the last call
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (examined integer, expired integer, hastened integer, next_after jsonb)
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
  v_group record;
  v_after_group integer := coalesce((p_after ->> 'group_id')::integer, 0);
  v_after_at timestamptz := coalesce((p_after ->> 'next_attempt_at')::timestamptz, '-infinity');
  v_after_id bigint := coalesce((p_after ->> 'conversion_id')::bigint, 0);
  v_walked record;
  v_ended_groups integer[] := '{}';
  v_ended_ids bigint[] := '{}';
  v_hastened integer[] := '{}';
begin
  if p_limit not between 1 and 1000000 or p_band not between 0 and 1 then
    raise exception 'p_limit must lie in 1 to 1000000, p_band in 0 to 1' using errcode = 'CR001';
  end if;
  examined := 0;
  hastened := 0;

  if p_band = 0 then
    with unheld as materialized (
      select held.*
      from relay.held
      where held.expires_at <= v_now
        and (
          p_site_id is null
          or held.group_id in (select delivery_group.group_id from relay.delivery_group where delivery_group.site_id = p_site_id)
        )
      order by held.expires_at
      limit p_limit
      for update skip locked
    ), freed as (
      delete from relay.held using unheld where held.conversion_id = unheld.conversion_id
    ), unblocked as materialized (
      select blocked.*
      from relay.blocked
      where blocked.expires_at <= v_now
        and (
          p_site_id is null
          or blocked.group_id in (
            select delivery_group.group_id from relay.delivery_group where delivery_group.site_id = p_site_id
          )
        )
      order by blocked.expires_at
      limit p_limit
      for update skip locked
    ), released as (
      delete from relay.blocked using unblocked where blocked.conversion_id = unblocked.conversion_id
    ), late as materialized (
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
    )
    select coalesce(pg_catalog.array_agg(late.group_id), '{}'), coalesce(pg_catalog.array_agg(late.conversion_id), '{}')
    from late
    into v_ended_groups, v_ended_ids;
    -- More than a call may end: another one begins here again.
    if pg_catalog.cardinality(v_ended_ids) >= p_limit then
      next_after := coalesce(p_after, '{}');
    end if;
  end if;

  -- Group by group: between the rows of one band lie those of the other.
  for v_group in
    select delivery_group.group_id
    from relay.delivery_group
    where delivery_group.group_id >= v_after_group
      and (p_site_id is null or delivery_group.site_id = p_site_id)
      and exists (select from relay.ready where ready.group_id = delivery_group.group_id and ready.band = p_band)
    order by delivery_group.group_id
  loop
    exit when next_after is not null;
    if v_group.group_id <> v_after_group then
      v_after_at := '-infinity';
      v_after_id := 0;
    end if;
    with seen as materialized (
      select ready.next_attempt_at, ready.conversion_id, ready.expires_at
      from relay.ready
      where ready.group_id = v_group.group_id
        and ready.band = p_band
        and (ready.next_attempt_at, ready.conversion_id) > (v_after_at, v_after_id)
      order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
      limit p_limit - examined
    ), due as materialized (
      -- What a claim holds at this moment is being worked on, and its own claim ends what has expired.
      select ready.*
      from seen
      join relay.ready
        on ready.group_id = v_group.group_id
        and ready.band = p_band
        and ready.next_attempt_at = seen.next_attempt_at
        and ready.conversion_id = seen.conversion_id
      where seen.expires_at <= v_now or p_band = 1 and seen.expires_at < v_now + interval '48 hours'
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
      returning 1
    ), ended as (
      insert into relay.conversion_outcome (
        conversion_id, seq, outcome, class, code, retry_count, sent_target, omitted, recorded_at
      )
      select
        due.conversion_id, due.seq + 1,
        case when due.maybe_delivered then 'UNCONFIRMED' else 'EXPIRED' end,
        case when due.maybe_delivered then 'AMBIGUOUS' else 'PERM' end,
        case when due.maybe_delivered then 'EXPIRED_PERHAPS_DELIVERED' else 'EXPIRED_BEFORE_DELIVERY' end,
        due.retry_count, case when due.maybe_delivered then due.target end, nullif(due.omitted, 0), v_now
      from due
      where due.expires_at <= v_now
    )
    select
      (select pg_catalog.count(*) from seen)::integer as examined,
      (select pg_catalog.count(*) from hastened)::integer as hastened,
      (select pg_catalog.array_agg(due.conversion_id) from due where due.expires_at <= v_now) as ended_ids,
      last.next_attempt_at, last.conversion_id
    from (select 1) as one
    left join lateral (
      select seen.next_attempt_at, seen.conversion_id
      from seen
      order by seen.next_attempt_at desc, seen.conversion_id desc
      limit 1
    ) as last on true
    into v_walked;
    examined := examined + v_walked.examined;
    hastened := hastened + v_walked.hastened;
    if v_walked.hastened > 0 then
      v_hastened := v_hastened || v_group.group_id;
    end if;
    if v_walked.ended_ids is not null then
      v_ended_groups := v_ended_groups
        || pg_catalog.array_fill(v_group.group_id, array[pg_catalog.cardinality(v_walked.ended_ids)]);
      v_ended_ids := v_ended_ids || v_walked.ended_ids;
    end if;
    if examined >= p_limit then
      next_after := pg_catalog.jsonb_build_object(
        'group_id', v_group.group_id, 'next_attempt_at', v_walked.next_attempt_at, 'conversion_id', v_walked.conversion_id
      );
    end if;
  end loop;
  expired := pg_catalog.cardinality(v_ended_ids);

  -- A claim that met these rows locked may have sent their group away; and they keep the time at which they were due, which
  -- may lie below the floor of those that are urgent.
  if v_hastened <> '{}' then
    perform relay.call_groups(v_hastened, pg_catalog.array_fill(v_now, array[pg_catalog.cardinality(v_hastened)]));
    perform
    from relay.delivery_group
    where delivery_group.group_id = any (v_hastened)
    order by delivery_group.group_id
    for no key update;
    update relay.delivery_group
    set urgent_floor_at = '-infinity'
    where delivery_group.group_id = any (v_hastened) and delivery_group.urgent_floor_at > '-infinity';
  end if;
  if v_ended_ids <> '{}' then
    perform relay.call_orders(v_ended_groups, v_ended_ids, v_now);
    -- Whatever it ended as, it counts as failed.
    perform relay.count_endings(
      v_ended_groups, pg_catalog.array_fill('EXPIRED'::text, array[pg_catalog.cardinality(v_ended_ids)]), v_now
    );
  end if;
  return next;
end;
$$;

comment on function relay.expire_waiting_conversions is
  'Ends what is past its time: of a site or of all, in band 0 (and what is parked or waits for its order), or in band 1, of which '
  'it also puts first what expires within 48 hours (hastened). Walks p_limit rows of the band (1 to 1000000) from p_after; '
  'next_after says where the next call goes on, null at the end. Band 0 holds what is near its end and nothing else, so its '
  'walk costs what is due and not what waits; band 1 need be walked through only once in a day, which relay.expire_conversions '
  'does by slices. Takes no lock that a claim would wait for: rows, then groups, then metrics. Raises CR001 for bad arguments.';

grant execute on function relay.expire_waiting_conversions to relay_service;
