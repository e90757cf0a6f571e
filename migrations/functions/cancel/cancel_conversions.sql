create or replace function relay.cancel_conversions(
  p_site_id uuid,             -- null: by their ids
  p_provider_key text,        -- null: every provider of the site
  p_conversion_ids bigint[],  -- null: all that waits for the site
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  cancelled integer, in_doubt integer, in_flight bigint, submitted bigint, ended bigint, unknown bigint, finished boolean
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_groups integer[];
begin
  if (p_site_id is null) = (p_conversion_ids is null)
    or p_provider_key is not null and p_site_id is null
    or pg_catalog.cardinality(p_conversion_ids) > 10000
    or p_limit not between 1 and 100000
  then
    raise exception 'name a site or at most 10000 conversions, and a limit of 1 to 100000' using errcode = 'CR001';
  end if;
  if p_site_id is not null then
    select pg_catalog.array_agg(delivery_group.group_id)
    from relay.delivery_group
    where delivery_group.site_id = p_site_id and (p_provider_key is null or delivery_group.provider_key = p_provider_key)
    into v_groups;
  else
    select pg_catalog.array_agg(distinct conversion.group_id)
    from relay.conversion
    where conversion.conversion_id = any (p_conversion_ids)
    into v_groups;
  end if;

  select gone.ready + gone.held + gone.blocked, gone.in_doubt
  from relay.end_waiting_conversions(coalesce(v_groups, '{}'), p_conversion_ids, 'CANCELLED_BY_OPERATOR', p_limit, v_now) as gone
  into cancelled, in_doubt;

  -- In statements of their own, so that they see what claims took meanwhile.
  if p_conversion_ids is null then
    finished := not exists (
      select
      from unnest(v_groups) as mine (group_id)
      where exists (select from relay.ready where ready.group_id = mine.group_id)
        or exists (select from relay.blocked where blocked.group_id = mine.group_id)
        or exists (
          select
          from relay.hold
          join relay.held on held.hold_id = hold.hold_id
          where hold.group_id = mine.group_id and hold.lifted_at is null
        )
    );
    select coalesce(pg_catalog.sum(pg_catalog.cardinality(inflight.conversion_ids)), 0)
    from relay.inflight
    where inflight.group_id = any (v_groups)
    into in_flight;
    select coalesce(pg_catalog.sum(pg_catalog.cardinality(receipt.conversion_ids)), 0)
    from relay.receipt
    where receipt.state = 'PENDING' and receipt.group_id = any (v_groups)
    into submitted;
    ended := 0;
    unknown := 0;
    return next;
    return;
  end if;

  select
    pg_catalog.count(*) filter (where standing.stands = 'in flight'),
    pg_catalog.count(*) filter (where standing.stands = 'submitted'),
    pg_catalog.count(*) filter (where standing.stands = 'ended'),
    pg_catalog.count(*) filter (where standing.stands is null),
    pg_catalog.count(*) filter (where standing.stands = 'waits') = 0
  from (
    select case queue.status
      when 'PROCESSING' then 'in flight'
      when 'SUBMITTED' then 'submitted'
      when 'COMPLETED' then 'ended'
      when 'FAILED' then 'ended'
      else case when queue.status is not null then 'waits' end
    end as stands
    from (select distinct chosen.conversion_id from unnest(p_conversion_ids) as chosen (conversion_id)) as chosen
    left join lateral (
      select queue.status
      from relay.conversion
      join relay.offline_conversion_queue as queue
        on queue.id = conversion.conversion_id and queue.sale_id = conversion.external_id
      where conversion.conversion_id = chosen.conversion_id
      limit 1
    ) as queue on true
  ) as standing
  into in_flight, submitted, ended, unknown, finished;
  -- Those that this very call ended are told of as cancelled.
  ended := ended - cancelled;
  return next;
end;
$$;

comment on function relay.cancel_conversions is
  'Ends as cancelled what waits for a site, at most p_limit of each place (1 to 100000), or the conversions named (at most 10000 '
  'ids): in ready, held or blocked. One row: how many, and how many of those may have been delivered by an earlier request; '
  'those that were not cancelled: in a claim, taken by a provider that answers later, at their end before, unknown. Call '
  'again until finished: something waits that was locked, or was beyond the limit. Keys and history stay, so that nothing '
  'brings one back. Raises CR001 for bad arguments. Locks: rows, metrics; waits for no claim.';

grant execute on function relay.cancel_conversions to relay_service;
