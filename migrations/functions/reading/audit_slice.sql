create or replace function relay.audit_slice(
  p_before bigint,           -- conversions before this id; null: from the newest
  p_since bigint,            -- and not before this one; null: down to the oldest
  p_conversions integer,
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (
  reached bigint, settled_before bigint, keys bigint, waiting bigint, in_flight bigint, held bigint, submitted bigint,
  completed bigint, failed bigint, faults_total bigint, faults jsonb
)
language plpgsql
stable  -- all statements see the same moment
security definer
set search_path = pg_catalog, pg_temp
set work_mem = '64MB'
set max_parallel_workers_per_gather = 0
set jit = off
-- Planned for its bounds and for the tables as they are: a plan that was made while a week was new would walk through it.
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  v_from bigint;
  v_to bigint := coalesce(p_before, 9223372036854775807);
begin
  if p_conversions not between 1 and 1000000 or p_limit not between 0 and 1000 then
    raise exception 'p_conversions must lie in 1 to 1000000, p_limit in 0 to 1000' using errcode = 'CR001';
  end if;
  -- What began to be taken in before and is not committed yet has an id above this.
  settled_before := relay.id_floor(coalesce(p_now, pg_catalog.clock_timestamp()) - interval '10 minutes');
  select conversion.conversion_id
  from relay.conversion
  where conversion.conversion_id < v_to and conversion.conversion_id >= coalesce(p_since, 0)
  order by conversion.conversion_id desc
  offset p_conversions - 1
  limit 1
  into reached;
  v_from := coalesce(reached, p_since, -9223372036854775808);

  with said as (
    -- With a limit, so that it stays one look by the key's index.
    select
      conversion.conversion_id, coalesce(key.one, 0) as known, null::integer as seq, null::integer as latest,
      null::integer as place_seq
    from relay.conversion
    left join lateral (
      select 1 as one
      from relay.conversion_key
      where conversion_key.external_id = conversion.external_id
        and conversion_key.group_id = conversion.group_id
        and conversion_key.conversion_id = conversion.conversion_id
      limit 1
    ) as key on true
    where conversion.conversion_id >= v_from and conversion.conversion_id < v_to
    union all
    select said.conversion_id, said.known, said.seq, said.latest, said.place_seq
    from relay.conversion_said as said
    where said.conversion_id >= v_from and said.conversion_id < v_to
  ), told as (
    select
      said.conversion_id,
      pg_catalog.sum(said.known) as known,
      pg_catalog.count(said.seq) as outcomes,
      pg_catalog.min(said.seq) as first_seq,
      pg_catalog.max(said.latest) as latest,
      pg_catalog.max(said.place_seq) as place_seq
    from said
    group by said.conversion_id
  ), summed as (
    -- The whole key of ready is known of what goes on: what waits elsewhere in there is for relay.audit_ready to find.
    select
      told.conversion_id, told.known + 1024 * coalesce(waiting.rows, 0) as known, told.outcomes, told.first_seq, told.latest,
      greatest(told.place_seq, waiting.seq) as place_seq
    from told
    left join lateral (
      select pg_catalog.count(*) as rows, pg_catalog.max(ready.seq) as seq
      from (
        select conversion.group_id, conversion.due_at
        from relay.conversion
        where conversion.conversion_id = told.conversion_id
        limit 1
      ) as conversion
      left join lateral (
        select outcome.next_attempt_at
        from relay.conversion_outcome as outcome
        where outcome.conversion_id = told.conversion_id and outcome.seq = told.latest / 4
        limit 1
      ) as latest on true
      join relay.ready
        on ready.group_id = conversion.group_id
        and ready.band in (0, 1)
        and ready.next_attempt_at = coalesce(latest.next_attempt_at, conversion.due_at)
        and ready.conversion_id = told.conversion_id
    ) as waiting on coalesce(told.latest % 4, 0) = 0
  ), account as materialized (
    select
      summed.*,
      relay.account_fault(
        summed.conversion_id, summed.known, summed.outcomes, summed.first_seq, summed.latest, summed.place_seq,
        prune_walk.id_from, prune_walk.conversion_id
      ) as fault
    from summed
    cross join relay.prune_walk
  ), unbooked as materialized (
    select told.attempt_id
    from (
      select distinct outcome.attempt_id
      from relay.conversion_outcome as outcome
      where outcome.conversion_id >= v_from and outcome.conversion_id < v_to and outcome.attempt_id is not null
    ) as told
    left join lateral (
      select 1 as one
      from relay.provider_upload_attempts as attempt
      where attempt.attempt_id = told.attempt_id
      limit 1
    ) as ledger on true
    where ledger.one is null
  ), fault as materialized (
    select
      account.fault, account.conversion_id,
      relay.account_detail(account.known, account.outcomes, account.first_seq, account.latest, account.place_seq) as detail
    from account
    where account.fault is not null
    union all
    select
      'an outcome of a request that is not in the ledger', outcome.conversion_id,
      pg_catalog.format('seq %s, attempt %s', outcome.seq, outcome.attempt_id)
    from unbooked
    join relay.conversion_outcome as outcome
      on outcome.attempt_id = unbooked.attempt_id and outcome.conversion_id >= v_from and outcome.conversion_id < v_to
  )
  select
    coalesce(pg_catalog.sum(account.known % 32), 0),
    coalesce(pg_catalog.sum(account.known / 1024 % 32 + account.known / 33554432), 0),
    coalesce(pg_catalog.sum(account.known / 32768 % 32), 0),
    coalesce(pg_catalog.sum(account.known / 1048576 % 32), 0),
    pg_catalog.count(*) filter (where account.latest % 4 = 3 and account.known % 32 > 0),
    pg_catalog.count(*) filter (where account.latest % 4 = 1 and account.known % 32 > 0),
    pg_catalog.count(*) filter (where account.latest % 4 = 2 and account.known % 32 > 0),
    (select pg_catalog.count(*) from fault),
    coalesce(
      (
        select pg_catalog.jsonb_agg(listed)
        from (select fault.fault, fault.conversion_id, fault.detail from fault limit p_limit) as listed
      ),
      '[]'
    )
  from account
  into keys, waiting, in_flight, held, submitted, completed, failed, faults_total, faults;
  return next;
end;
$$;

comment on function relay.audit_slice is
  'The proof of accounting of a part of the conversions at one moment: of p_conversions (1 to 1000000) before p_before, those '
  'with the newest ids, and none before p_since. reached: the oldest id of the slice, where the next one ends; null where '
  'nothing is left before it. settled_before: what has a smaller id was taken in before, or never will be. The sums, and '
  'the first p_limit (0 to 1000) faults, are those of relay.audit_accounts, but for keys without their conversion, which '
  'relay.audit_keys finds, and rows of relay.ready that should not be there, which relay.audit_ready does. Costs the slice. A week '
  'that is dropped while it is read is gone at once, whatever the moment: ask again before you believe a fault. Raises CR001 for '
  'bad arguments.';

grant execute on function relay.audit_slice to relay_service, relay_operator;
