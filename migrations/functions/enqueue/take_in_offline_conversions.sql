create or replace function relay.take_in_offline_conversions(
  p_site_ids uuid[],
  p_provider_keys text[],
  p_external_ids text[],
  p_kinds text[],
  p_digests bytea[],
  p_due_at timestamptz[],
  p_expires_at timestamptz[],
  p_payloads jsonb[],
  p_order_hashes uuid[],    -- null: no order is known of any
  p_order_keys text[],      -- null where a conversion names no order: its external id stands in
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (item integer, result text, conversion_id bigint)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- A general plan takes arrays for ten entries and compares each with each. Where they are as short it is the right one, and
-- saves the planning, four fifths of the work: the four settings are changed below, and stand here to be put back.
set plan_cache_mode = force_custom_plan
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_floor bigint := relay.id_floor(v_now);
  v_count integer := pg_catalog.cardinality(p_external_ids);
  v_new_items bigint[];
  v_new_ids bigint[];
  v_called integer[];
  v_called_due timestamptz[];
  v_probes tid[];
  v_joining bigint[];
  v_left_ids bigint[];
  v_left_groups integer[];
  v_left_outcomes text[];
  v_left_due timestamptz[];
  v_removed uuid[];
begin
  if v_count > 10000 then
    raise exception 'at most 10000 conversions at once, not %', v_count using errcode = 'CR001';
  end if;
  if (v_count, v_count, v_count, v_count, v_count, v_count, v_count, v_count, v_count) is distinct from (
    pg_catalog.cardinality(p_site_ids), pg_catalog.cardinality(p_provider_keys), pg_catalog.cardinality(p_kinds),
    pg_catalog.cardinality(p_digests), pg_catalog.cardinality(p_due_at), pg_catalog.cardinality(p_expires_at),
    pg_catalog.cardinality(p_payloads), coalesce(pg_catalog.cardinality(p_order_hashes), v_count),
    coalesce(pg_catalog.cardinality(p_order_keys), v_count)
  ) then
    raise exception 'the arrays must be of one length' using errcode = 'CR001';
  end if;
  -- By index alone: a plan that was made while the tables were empty would walk through them.
  if v_count <= 16 then
    perform
      pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true), pg_catalog.set_config('enable_seqscan', 'off', true),
      pg_catalog.set_config('enable_hashjoin', 'off', true), pg_catalog.set_config('enable_mergejoin', 'off', true);
  end if;
  -- Every run keeps the weeks ahead. Where nothing ran for so long, what comes in makes its own.
  if not relay.has_partition(v_now) then
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('relay.keep_partitions', 0));
    perform relay.keep_partitions(1, v_now);
    if not relay.has_partition(v_now) then
      raise exception 'there is no partition for this week, and it cannot be made now' using errcode = 'CR006';
    end if;
  end if;
  perform relay.ensure_groups(p_site_ids, p_provider_keys, v_now);
  select coalesce(pg_catalog.array_agg(site.site_id), '{}')
  from relay.site
  where site.site_id = any (p_site_ids) and site.removed_at is not null
  into v_removed;

  -- Ids in the order of arrival; keys in an order of their own, so that two batches that share some cannot wait for each
  -- other. What wins its key goes in whole.
  with live as (
    select distinct on (given.external_id collate "C", delivery_group.group_id)
      given.external_id, delivery_group.group_id, given.conversion_id, given.item, given.kind, given.digest,
      given.expires_at, given.payload, greatest(given.due_at, v_now) as due_at, given.order_hash, given.order_key,
      given.order_hash is not null and (given.kind <> 'conversion' or given.order_key is not null) as joins
    from (
      select come.*, v_floor | pg_catalog.nextval('relay.id_seq') as conversion_id
      from unnest(
        p_site_ids, p_provider_keys, p_external_ids, p_kinds, p_digests, p_due_at, p_expires_at, p_payloads,
        p_order_hashes, p_order_keys
      ) with ordinality as come (
        site_id, provider_key, external_id, kind, digest, due_at, expires_at, payload, order_hash, order_key, item
      )
    ) as given
    join relay.delivery_group
      on delivery_group.site_id = given.site_id and delivery_group.provider_key = given.provider_key
    where given.expires_at > v_now and given.site_id <> all (v_removed)
    order by given.external_id collate "C", delivery_group.group_id, given.item
  ), named as (
    select live.external_id, live.group_id, live.conversion_id, live.digest
    from live
    union all
    -- The original of an adjustment may be on its way in, with the order for its external id: whoever of the two comes
    -- second waits for the other at this key, and then sees it.
    select live.order_key, live.group_id, 0, '\x'
    from live
    where live.joins and live.kind <> 'conversion' and live.order_key <> live.external_id
  ), won as (
    insert into relay.conversion_key as conversion_key (external_id, group_id, conversion_id, digest)
    select named.external_id, named.group_id, named.conversion_id, named.digest
    from named
    order by named.external_id collate "C", named.group_id, named.conversion_id desc
    on conflict do nothing
    returning conversion_key.conversion_id, conversion_key.ctid as place
  ), fresh as (
    -- As a join it would be planned for one row, and compare each with each.
    select live.*
    from live
    where (live.conversion_id in (select won.conversion_id from won)) is true
  ), lent as materialized (
    -- What they find that name their order and nobody else: one map, too, and read where one of them asks.
    select
      relay.read_identifiers_of_orders(
        pg_catalog.array_agg(fresh.conversion_id), pg_catalog.array_agg(fresh.group_id),
        pg_catalog.array_agg(fresh.order_hash), pg_catalog.array_agg(fresh.order_key)
      ) as by_id
    from fresh
    where fresh.kind in ('restatement', 'retraction') and not fresh.payload ? 'click_ids' and not fresh.payload ? 'user'
  ), lenders as materialized (
    -- Originals that come in beside what changes them: one map, so that each lookup is one.
    select
      pg_catalog.jsonb_object_agg(
        original.group_id || ' ' || original.order_hash,
        pg_catalog.jsonb_build_object(
          'click_ids', original.payload -> 'click_ids', 'user', original.payload -> 'user',
          'consent', original.payload -> 'consent'
        )
        order by original.item desc
      ) as by_order
    from fresh as original
    where original.kind = 'conversion'
      and (original.group_id, original.order_hash) in (
        select fresh.group_id, fresh.order_hash
        from fresh
        where fresh.kind in ('restatement', 'retraction')
          and not fresh.payload ? 'click_ids'
          and not fresh.payload ? 'user'
      )
  ), kept as (
    insert into relay.conversion (conversion_id, group_id, external_id, kind, due_at, expires_at, created_at, payload, order_hash)
    select
      fresh.conversion_id, fresh.group_id, fresh.external_id, fresh.kind, fresh.due_at, fresh.expires_at, v_now,
      -- A change that names its order and nobody else goes with what its original, or the change before it, was known by,
      -- and under the consent that was given for it: some ways in match by nothing else.
      case
        when fresh.kind in ('restatement', 'retraction') and not fresh.payload ? 'click_ids' and not fresh.payload ? 'user'
          then coalesce(
            (select lent.by_id from lent) -> fresh.conversion_id::text,
            pg_catalog.jsonb_strip_nulls(
              (select lenders.by_order from lenders) -> (fresh.group_id || ' ' || fresh.order_hash)
            ),
            '{}'
          ) || fresh.payload
        else fresh.payload
      end,
      fresh.order_hash
    from fresh
  ), waiting as (
    insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq)
    select
      fresh.group_id,
      case when fresh.expires_at < v_now + interval '48 hours' then 0 else 1 end,
      fresh.due_at, fresh.conversion_id, fresh.expires_at, 0
    from fresh
    where not fresh.joins
    -- As the index has them: each of its pages is met once, and what is claimed together lies together.
    order by fresh.group_id, fresh.due_at, fresh.conversion_id
  ), called as (
    select fresh.group_id, pg_catalog.min(fresh.due_at) as due_at
    from fresh
    group by fresh.group_id
  )
  select
    (select pg_catalog.array_agg(fresh.item) from fresh),
    (select pg_catalog.array_agg(fresh.conversion_id) from fresh),
    (select pg_catalog.array_agg(called.group_id order by called.group_id) from called),
    (select pg_catalog.array_agg(called.due_at order by called.group_id) from called),
    (select pg_catalog.array_agg(fresh.conversion_id) from fresh where fresh.joins),
    (select pg_catalog.array_agg(won.place) from won where won.conversion_id = 0)
  into v_new_items, v_new_ids, v_called, v_called_due, v_joining, v_probes;

  if v_probes is not null then
    -- By their places, whatever a plan thinks of the table.
    perform pg_catalog.set_config('enable_seqscan', 'off', true);
    delete from relay.conversion_key where conversion_key.ctid = any (v_probes);
  end if;
  -- A conversion that names no order joins one that others named, or adjusted before it came.
  if exists (
    select
    from unnest(v_called) as called (group_id)
    where exists (select from relay.order_chain where order_chain.group_id = called.group_id)
  ) then
    v_joining := v_joining || relay.meet_orders(v_new_ids);
  end if;
  if v_joining is not null then
    select
      pg_catalog.array_agg(leaving.conversion_id), pg_catalog.array_agg(leaving.group_id),
      pg_catalog.array_agg(leaving.outcome), pg_catalog.array_agg(leaving.due_at)
    from relay.join_orders(v_joining, v_now) as leaving
    into v_left_ids, v_left_groups, v_left_outcomes, v_left_due;
    select pg_catalog.array_agg(called.group_id), pg_catalog.array_agg(called.due_at)
    from (
      select due.group_id, pg_catalog.min(due.due_at) as due_at
      from (
        select called.group_id, called.due_at from unnest(v_called, v_called_due) as called (group_id, due_at)
        union all
        select leaving.group_id, leaving.due_at from unnest(v_left_groups, v_left_due) as leaving (group_id, due_at)
      ) as due
      group by due.group_id
    ) as called
    into v_called, v_called_due;
  end if;

  if v_called is not null then
    perform relay.call_groups(v_called, v_called_due);
  end if;
  if v_left_ids is not null then
    perform relay.count_endings(v_left_groups, v_left_outcomes, v_now);
  end if;
  if v_called is not null then
    perform relay.note_arrivals(v_called, v_now);
  end if;

  -- In a statement of its own, so that it sees the keys that another transaction won while we waited for it.
  return query
  select
    given.item::integer,
    case
      when given.site_id = any (v_removed) then 'site_removed'
      when given.expires_at <= v_now and known.conversion_id is null then 'expired'
      when leaving.outcome = 'DUPLICATE' then 'order_delivered'
      when leaving.outcome = 'SUPERSEDED' then 'superseded'
      when leaving.outcome = 'REJECTED' then 'original_failed'
      when fresh.conversion_id is not null and delivery_group.hold_id is not null then 'held'
      when fresh.conversion_id is not null then 'queued'
      when known.digest = given.digest then 'duplicate'
      else 'conflict'
    end,
    coalesce(fresh.conversion_id, known.conversion_id)
  from unnest(p_site_ids, p_provider_keys, p_external_ids, p_digests, p_expires_at)
    with ordinality as given (site_id, provider_key, external_id, digest, expires_at, item)
  join relay.delivery_group
    on delivery_group.site_id = given.site_id and delivery_group.provider_key = given.provider_key
  left join unnest(v_new_items, v_new_ids) as fresh (item, conversion_id) on fresh.item = given.item
  left join unnest(v_left_ids, v_left_outcomes) as leaving (conversion_id, outcome)
    on leaving.conversion_id = fresh.conversion_id
  -- What went in now needs no second look.
  left join lateral (
    select conversion_key.conversion_id, conversion_key.digest
    from relay.conversion_key
    where fresh.conversion_id is null
      and conversion_key.external_id = given.external_id
      and conversion_key.group_id = delivery_group.group_id
    limit 1
  ) as known on true
  order by given.item;
end;
$$;

comment on function relay.take_in_offline_conversions is
  'Takes conversions in, once per (site, provider, external id). The arrays run side by side, one entry per conversion, at '
  'most 10000. Answers one row per entry, in order: queued, held (taken in; its group waits for a mend), duplicate (same '
  'content known), conflict (the id is known with other content: nothing changed), expired (too old: not taken in), site_removed (the site was off-boarded: not taken in); and where the order is over for it, '
  'so that it was taken in and ended without being sent: superseded (a newer value was written), order_delivered (its original '
  'was delivered under another id), original_failed (what it adjusts was never delivered: a dead letter). p_order_hashes and '
  'p_order_keys say which order each writes: of the writes of one order one is in flight, the others wait (queued, too). '
  'Raises CR001 for bad arguments, CR006 where this week has no partition and a lock keeps it from being made: then nothing '
  'was taken in. Locks: keys in order, order chains in order, groups that must be woken, metrics of what ended; last, and '
  'without waiting for them, those of what came.';

grant execute on function relay.take_in_offline_conversions to relay_service;
