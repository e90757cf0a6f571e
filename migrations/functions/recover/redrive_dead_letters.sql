create or replace function relay.redrive_dead_letters(
  p_site_id uuid,             -- null: every site
  p_code text,                -- null: every code
  p_conversion_ids bigint[],  -- null: every conversion
  p_limit integer,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_walk relay.prune_walk;
  v_ids bigint[];
  v_group_ids integer[];
  v_order_hashes uuid[];
  v_called integer[];
  v_redriven integer;
  v_left_groups integer[];
  v_left_outcomes text[];
begin
  if p_site_id is null and p_code is null and p_conversion_ids is null or p_limit not between 1 and 10000 then
    raise exception 'name a site, a code or conversions, and a limit of 1 to 10000' using errcode = 'CR001';
  end if;

  -- What is being pruned stays dead, and what comes back to life now is not pruned.
  select prune_walk.* from relay.prune_walk for share into v_walk;

  with dead as materialized (
    select conversion.conversion_id, conversion.group_id, conversion.order_hash
    from relay.conversion_outcome as outcome
    join relay.conversion on conversion.conversion_id = outcome.conversion_id
    join relay.delivery_group on delivery_group.group_id = conversion.group_id
    where outcome.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED')
      and (p_code is null or outcome.code = p_code)
      and (p_conversion_ids is null or outcome.conversion_id = any (p_conversion_ids))
      and (p_site_id is null or delivery_group.site_id = p_site_id)
      and (conversion.conversion_id < v_walk.id_from or conversion.conversion_id >= v_walk.id_to)
      and not exists (
        select
        from relay.conversion_outcome as later
        where later.conversion_id = outcome.conversion_id and later.seq > outcome.seq
      )
    limit p_limit
  ), ordered as (
    select distinct dead.group_id, dead.order_hash from dead where dead.order_hash is not null
  )
  select
    (select pg_catalog.array_agg(dead.conversion_id) from dead),
    (select pg_catalog.array_agg(ordered.group_id) from ordered),
    (select pg_catalog.array_agg(ordered.order_hash) from ordered)
  into v_ids, v_group_ids, v_order_hashes;

  -- A conversion that names no order, and that nobody adjusted, has no chain yet: another of its order that comes in at this
  -- moment would see it dead, and go. As at the door, the unique key lets one of the two be the head.
  insert into relay.order_chain as order_chain (group_id, order_hash, head)
  select distinct on (conversion.group_id, conversion.order_hash)
    conversion.group_id, conversion.order_hash, conversion.conversion_id
  from relay.conversion
  where conversion.conversion_id = any (v_ids) and conversion.kind = 'conversion' and conversion.order_hash is not null
  order by conversion.group_id, conversion.order_hash, conversion.conversion_id
  on conflict do nothing;
  perform
  from unnest(v_group_ids, v_order_hashes) as ordered (group_id, order_hash)
  join relay.order_chain
    on order_chain.group_id = ordered.group_id and order_chain.order_hash = ordered.order_hash
  order by order_chain.group_id, order_chain.order_hash
  for no key update of order_chain;

  with dead as materialized (
    select
      conversion.conversion_id, conversion.group_id, conversion.expires_at, outcome.seq, outcome.sent_target,
      case when outcome.sent_target is null then 0 else coalesce(outcome.omitted, 0) end as omitted,
      conversion.order_hash, conversion.kind,
      coalesce((conversion.payload ->> 'occurred_at')::timestamptz, conversion.created_at) as occurred_at,
      -- Where another was written since it was the head of its order, it goes behind that one.
      case when order_chain.head <> conversion.conversion_id then order_chain.head end as head
    from unnest(v_ids) as chosen (conversion_id)
    join relay.conversion on conversion.conversion_id = chosen.conversion_id
    cross join lateral (
      select latest.outcome, latest.seq, latest.sent_target, latest.omitted
      from relay.conversion_outcome as latest
      where latest.conversion_id = chosen.conversion_id
      order by latest.seq desc
      limit 1
    ) as outcome
    left join relay.order_chain
      on order_chain.group_id = conversion.group_id and order_chain.order_hash = conversion.order_hash
    where outcome.outcome in ('REJECTED', 'EXHAUSTED', 'UNCONFIRMED')
  ), told as (
    -- The key (conversion, seq) lets one of two redrives win.
    insert into relay.conversion_outcome as outcome (conversion_id, seq, outcome, next_attempt_at, recorded_at)
    select dead.conversion_id, dead.seq + 1, 'REQUEUED', case when dead.head is null then v_now end, v_now
    from dead
    on conflict do nothing
    returning outcome.conversion_id, outcome.seq
  ), back as (
    -- What may have been delivered stays so: it goes to the same place or nowhere.
    insert into relay.ready (
      group_id, band, next_attempt_at, conversion_id, expires_at, target, seq, omitted, maybe_delivered
    )
    select
      dead.group_id, case when dead.expires_at < v_now + interval '48 hours' then 0 else 1 end, v_now,
      dead.conversion_id, dead.expires_at, dead.sent_target, told.seq,
      dead.omitted, dead.sent_target is not null
    from told
    join dead on dead.conversion_id = told.conversion_id
    where dead.head is null
    returning ready.group_id
  ), behind as (
    insert into relay.blocked (
      conversion_id, group_id, order_hash, head, kind, occurred_at, expires_at, target, seq, omitted, maybe_delivered
    )
    select
      dead.conversion_id, dead.group_id, dead.order_hash, dead.head, dead.kind, dead.occurred_at, dead.expires_at,
      dead.sent_target, told.seq,
      dead.omitted, dead.sent_target is not null
    from told
    join dead on dead.conversion_id = told.conversion_id
    where dead.head is not null
    returning blocked.group_id, blocked.order_hash
  ), busy as (
    select distinct behind.group_id, behind.order_hash from behind
  )
  select
    (select pg_catalog.count(*) from told),
    (select pg_catalog.array_agg(distinct back.group_id) from back),
    (select pg_catalog.array_agg(busy.group_id) from busy),
    (select pg_catalog.array_agg(busy.order_hash) from busy)
  into v_redriven, v_called, v_group_ids, v_order_hashes;

  if v_group_ids is not null then
    with leaving as materialized (
      select leaving.group_id, leaving.outcome
      from relay.advance_orders(v_group_ids, v_order_hashes, v_now) as leaving
    )
    select
      v_called || pg_catalog.array_agg(leaving.group_id) filter (where leaving.outcome is null),
      pg_catalog.array_agg(leaving.group_id), pg_catalog.array_agg(leaving.outcome)
    from leaving
    into v_called, v_left_groups, v_left_outcomes;
    insert into relay.order_call (call_at, group_id, order_hash)
    select v_now + interval '15 seconds', busy.group_id, busy.order_hash
    from unnest(v_group_ids, v_order_hashes) as busy (group_id, order_hash)
    where exists (
      select
      from relay.blocked
      where blocked.group_id = busy.group_id and blocked.order_hash = busy.order_hash
    );
  end if;
  if v_called is not null then
    select pg_catalog.array_agg(distinct called.group_id) from unnest(v_called) as called (group_id) into v_called;
    perform relay.call_groups(v_called, pg_catalog.array_fill(v_now, array[pg_catalog.cardinality(v_called)]));
  end if;
  if v_left_groups is not null then
    perform relay.count_endings(v_left_groups, v_left_outcomes, v_now);
  end if;
  return v_redriven;
end;
$$;

comment on function relay.redrive_dead_letters is
  'Sends dead letters (rejected, exhausted, unconfirmed) to work again, with their key, their history and a fresh budget of '
  'retries; not those of a week that is being pruned. What another write of its order followed meanwhile waits for that, or '
  'ends again where the order is over for it. At most p_limit of them; says how many. Raises CR001 where nothing narrows the call. Locks: prune_walk, order chains in order, groups, metrics.';

grant execute on function relay.redrive_dead_letters to relay_service;
