create or replace function relay.return_lapsed_claims(
  p_limit integer,
  p_min_age_minutes integer,
  p_site_id uuid,
  p_now timestamptz
)
returns table (claims integer, requeued integer, exhausted integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- A plan that was made while a partition of conversions was empty, as each is when its week begins, would read all of it
-- for every claim that comes back.
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_called integer[];
  v_exhausted jsonb;
  v_exhausted_ids bigint[];
begin
  with lapsed as materialized (
    select inflight.claim_token
    from relay.inflight
    where inflight.lease_until < p_now
      and inflight.claimed_at <= p_now - pg_catalog.make_interval(mins => p_min_age_minutes)
      and (
        p_site_id is null
        or inflight.group_id in (select delivery_group.group_id from relay.delivery_group where delivery_group.site_id = p_site_id)
      )
    limit p_limit
    for update skip locked
  ), gone as (
    delete from relay.inflight
    using lapsed
    where inflight.claim_token = lapsed.claim_token
    returning inflight.*
  ), lost as materialized (
    select
      gone.group_id,
      part.conversion_id,
      part.seq,
      part.retry_count,
      part.lost_claims + 1 as lost_claims,
      -- An open request may have arrived, whatever became of its runner.
      part.maybe_delivered or gone.sent_targets is not null as maybe_delivered,
      coalesce(gone.sent_targets[part.place], gone.sent_targets[1], part.target) as target,
      coalesce(part.omitted, 0::smallint) as omitted,
      part.part,
      conversion.expires_at
    from gone
    cross join lateral unnest(
      gone.conversion_ids, gone.seqs, gone.retry_counts, gone.lost_claims, gone.maybe_delivered, gone.targets,
      gone.omitted, gone.parts
    ) with ordinality
      as part (conversion_id, seq, retry_count, lost_claims, maybe_delivered, target, omitted, part, place)
    -- With a limit, so that it stays one look per conversion and is never turned round.
    cross join lateral (
      select conversion.expires_at
      from relay.conversion
      where conversion.conversion_id = part.conversion_id
      limit 1
    ) as conversion
  ), told as (
    insert into relay.conversion_outcome (
      conversion_id, seq, outcome, class, code, retry_count, next_attempt_at, sent_target, omitted, recorded_at
    )
    select
      lost.conversion_id, lost.seq,
      case when lost.lost_claims >= 20 then 'EXHAUSTED' else 'LEASE_LOST' end,
      case when lost.maybe_delivered then 'AMBIGUOUS' else 'TRANSIENT' end,
      'CLAIM_LOST', lost.retry_count, case when lost.lost_claims < 20 then p_now end,
      case when lost.lost_claims >= 20 and lost.maybe_delivered then lost.target end, nullif(lost.omitted, 0), p_now
    from lost
  ), back as (
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, part, seq, retry_count, lost_claims, omitted,
      maybe_delivered
    )
    select
      lost.group_id, case when lost.expires_at < p_now + interval '48 hours' then 0 else 1 end, p_now, lost.conversion_id,
      lost.expires_at, lost.target, lost.part, lost.seq, lost.retry_count, lost.lost_claims, lost.omitted,
      lost.maybe_delivered
    from lost
    where lost.lost_claims < 20
  ), freed as (
    update relay.upload_slot
    set lease_until = '-infinity', claim_token = null
    from (
      -- One that another claim is taking at this moment is free already.
      select upload_slot.quota_key, upload_slot.slot_no
      from gone
      join relay.upload_slot
        on upload_slot.quota_key = gone.quota_key
        and upload_slot.slot_no = gone.slot_no
        and upload_slot.claim_token = gone.slot_token
        and upload_slot.lease_until < p_now
      for update of upload_slot skip locked
    ) as dead
    where upload_slot.quota_key = dead.quota_key and upload_slot.slot_no = dead.slot_no
  )
  select
    (select pg_catalog.count(*) from gone),
    (select pg_catalog.count(*) from lost where lost.lost_claims < 20),
    (select pg_catalog.count(*) from lost where lost.lost_claims >= 20),
    (select pg_catalog.array_agg(distinct lost.group_id) from lost),
    (
      select pg_catalog.jsonb_object_agg(worn.group_id, worn.conversions)
      from (
        select lost.group_id, pg_catalog.count(*) as conversions
        from lost
        where lost.lost_claims >= 20
        group by lost.group_id
      ) as worn
    ),
    (select pg_catalog.array_agg(lost.conversion_id) from lost where lost.lost_claims >= 20)
  into claims, requeued, exhausted, v_called, v_exhausted, v_exhausted_ids;

  if v_called is not null then
    -- Claims do this, and a claim never waits: a group that somebody visits at this moment is found by the look for
    -- forgotten groups, where its visitor does not see the rows.
    with called as materialized (
      select
        delivery_group.group_id,
        greatest(
          p_now, delivery_group.throttled_until, delivery_group.circuit_until, delivery_group.paused_until
        ) as turn_at
      from relay.delivery_group
      where delivery_group.group_id = any (v_called) and delivery_group.hold_id is null
      order by delivery_group.group_id
      for no key update skip locked
    )
    update relay.delivery_group
    set turn_at = called.turn_at
    from called
    where delivery_group.group_id = called.group_id and delivery_group.turn_at > called.turn_at;
  end if;
  if v_exhausted is not null then
    perform relay.call_orders(v_called, v_exhausted_ids, p_now);
    perform relay.increment_provider_upload_metrics(worn.key::integer, 0, 0, worn.value::integer, 0, 0, 0, p_now)
    from (
      select counted.key, counted.value
      from pg_catalog.jsonb_each_text(v_exhausted) as counted (key, value)
      order by counted.key::integer
    ) as worn;
  end if;
  return next;
end;
$$;

comment on function relay.return_lapsed_claims is
  'Puts the conversions of claims whose lease has ended (and that are p_min_age_minutes old) back to ready, at most p_limit '
  'claims, never a live one. A claim whose request had left marks its conversions as perhaps delivered. A conversion whose '
  'claims were lost 20 times ends as exhausted: it may be what kills the runners. One row of counts. Called by functions.';
