create or replace function relay.erase_person(
  p_erasure_id bigint,      -- null: the oldest request that is not finished
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (erasure_id bigint, walked integer, conversions integer, finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  c_orders_max constant integer := 10000;
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_erasure relay.erasure;
  v_last bigint;
  v_ids bigint[];
  v_group_ids integer[];
  v_external_ids text[];
  v_order_groups integer[] := '{}';
  v_order_hashes uuid[] := '{}';
  v_keys integer;
  v_ended record;
  v_in_flight integer;
  v_submitted integer;
begin
  if p_limit not between 1 and 100000 then
    raise exception 'p_limit must lie in 1 to 100000' using errcode = 'CR001';
  end if;
  -- Whoever finds another at it leaves it to him.
  select erasure.*
  from relay.erasure
  where erasure.finished_at is null and (p_erasure_id is null or erasure.erasure_id = p_erasure_id)
  order by erasure.erasure_id
  limit 1
  for update skip locked
  into v_erasure;
  if v_erasure.erasure_id is null then
    return;
  end if;
  -- Keys are not deleted meanwhile.
  perform from relay.prune_walk for share;

  with seen as materialized (
    select
      conversion.conversion_id, conversion.group_id, conversion.external_id, conversion.order_hash, conversion.payload,
      conversion.created_at
    from relay.conversion
    where conversion.conversion_id > v_erasure.conversion_id and conversion.conversion_id < v_erasure.id_to
    order by conversion.conversion_id
    limit p_limit
  ), due as materialized (
    select
      seen.conversion_id, seen.group_id, seen.external_id, seen.order_hash,
      exists (
        select
        from pg_catalog.jsonb_each_text(seen.payload -> 'user') as part (name, value)
        where part.value = any (v_erasure.hashes)
      )
      or exists (
        select
        from pg_catalog.jsonb_each_text(seen.payload -> 'click_ids') as part (name, value)
        where pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(part.value, 'UTF8')), 'hex') = any (v_erasure.click_hashes)
      )
      -- What its sender put where no identifier belongs.
      or exists (
        select
        from pg_catalog.jsonb_each_text(seen.payload -> 'custom_variables') as part (name, value)
        where part.value = any (v_erasure.hashes)
          or pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(part.value, 'UTF8')), 'hex') = any (v_erasure.click_hashes)
      ) as is_named
    from seen
    where seen.created_at <= v_erasure.requested_at and not seen.payload ? 'erased'
  ), theirs as materialized (
    select known.group_id, known.order_hash
    from unnest(v_erasure.order_group_ids, v_erasure.order_hashes) as known (group_id, order_hash)
    union
    select due.group_id, due.order_hash from due where due.is_named and due.order_hash is not null
  ), meant as materialized (
    -- And the writes of an order that was theirs.
    select due.conversion_id, due.group_id, due.external_id, due.order_hash
    from due
    where due.is_named
      or (due.group_id, due.order_hash) in (select theirs.group_id, theirs.order_hash from theirs)
  )
  select
    (select pg_catalog.count(*) from seen), (select pg_catalog.max(seen.conversion_id) from seen),
    (select pg_catalog.array_agg(meant.conversion_id order by meant.conversion_id) from meant),
    (select pg_catalog.array_agg(meant.group_id order by meant.conversion_id) from meant),
    (select pg_catalog.array_agg(meant.external_id order by meant.conversion_id) from meant)
  into walked, v_last, v_ids, v_group_ids, v_external_ids;
  erasure_id := v_erasure.erasure_id;
  conversions := coalesce(pg_catalog.cardinality(v_ids), 0);
  finished := walked < p_limit;

  if v_ids is not null then
    -- What stays says that there was something, and what it was worth; not whose it was.
    update relay.conversion
    set payload = conversion.payload - array[
      'click_ids', 'user', 'consent', 'custom_variables', 'clicked_at', 'external_id'
    ] || '{"erased": true}'
    from unnest(v_ids) as chosen (conversion_id)
    where conversion.conversion_id = chosen.conversion_id;
    -- The key stays, so that nothing brings the conversion back; its digest would tell whether a guess is right.
    update relay.conversion_key
    set digest = '\x'
    from unnest(v_ids, v_group_ids, v_external_ids) as chosen (conversion_id, group_id, external_id)
    where conversion_key.external_id = chosen.external_id
      and conversion_key.group_id = chosen.group_id
      and conversion_key.conversion_id = chosen.conversion_id;
    get diagnostics v_keys = row_count;
    select coalesce(pg_catalog.array_agg(known.group_id), '{}'), coalesce(pg_catalog.array_agg(known.order_hash), '{}')
    from (
      select distinct conversion.group_id, conversion.order_hash
      from unnest(v_ids) as chosen (conversion_id)
      join relay.conversion on conversion.conversion_id = chosen.conversion_id
      where conversion.order_hash is not null
    ) as known
    into v_order_groups, v_order_hashes;

    -- Nothing is left to match it by, so nothing of it is sent any more.
    select ending.* from relay.end_waiting_conversions(v_group_ids, v_ids, 'ERASED', p_limit, v_now) as ending into v_ended;
    -- In a statement of its own, so that it sees what claims took meanwhile: those end when they come back.
    select
      pg_catalog.count(*) filter (where standing.outcome is distinct from 'SUBMITTED' and standing.is_claimed),
      pg_catalog.count(*) filter (where standing.outcome = 'SUBMITTED')
    from (
      select
        latest.outcome,
        exists (
          select
          from relay.inflight
          where inflight.group_id = chosen.group_id and chosen.conversion_id = any (inflight.conversion_ids)
        ) as is_claimed
      from unnest(v_ids, v_group_ids) as chosen (conversion_id, group_id)
      left join lateral (
        select case when receipt.state = 'SETTLED' then 'DELIVERED' else told.outcome end as outcome
        from relay.conversion_outcome as told
        left join relay.receipt on receipt.attempt_id = told.attempt_id and told.outcome = 'SUBMITTED'
        where told.conversion_id = chosen.conversion_id
        order by told.seq desc
        limit 1
      ) as latest on true
    ) as standing
    into v_in_flight, v_submitted;
  end if;

  update relay.erasure
  set
    conversion_id = coalesce(v_last, erasure.conversion_id),
    walked = erasure.walked + erase_person.walked,
    conversions = erasure.conversions + erase_person.conversions,
    keys = erasure.keys + coalesce(v_keys, 0),
    finished_at = case when erase_person.finished then v_now end,
    hashes = case when erase_person.finished then '{}' else erasure.hashes end,
    click_hashes = case when erase_person.finished then '{}' else erasure.click_hashes end,
    order_group_ids = case
      when erase_person.finished then '{}'
      when pg_catalog.cardinality(erasure.order_hashes) >= c_orders_max then erasure.order_group_ids
      else erasure.order_group_ids || v_order_groups
    end,
    order_hashes = case
      when erase_person.finished then '{}'
      when pg_catalog.cardinality(erasure.order_hashes) >= c_orders_max then erasure.order_hashes
      else erasure.order_hashes || v_order_hashes
    end
  where erasure.erasure_id = v_erasure.erasure_id;
  if v_ids is not null then
    update relay.erasure
    set
      ready = erasure.ready + v_ended.ready,
      held = erasure.held + v_ended.held,
      blocked = erasure.blocked + v_ended.blocked,
      in_flight = erasure.in_flight + v_in_flight,
      submitted = erasure.submitted + v_submitted
    where erasure.erasure_id = v_erasure.erasure_id;
  end if;
  return next;
end;
$$;

comment on function relay.erase_person is
  'Takes a bounded step of an erasure: looks at the next p_limit conversions (1 to 100000) that were taken in before it was '
  'asked for; of those that carry one of its identifiers, and of later writes of their orders, it blanks the payload and the '
  'digest of the key and ends what waits as cancelled (ERASED). What is in a claim is blanked, and ends when it comes back; what '
  'was submitted is blanked and ends by its receipt. Keys stay, so that nothing brings one back. One row: how far it came; '
  'finished: nothing is left, and the request has forgotten whom it was for. No row: nothing is asked for, or somebody is at '
  'it. Raises CR001 for a bad limit. Locks: the request, prune_walk, conversions, keys, rows that wait, metrics.';

grant execute on function relay.erase_person to relay_service;
