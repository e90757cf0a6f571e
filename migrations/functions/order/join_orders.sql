create or replace function relay.join_orders(
  p_conversion_ids bigint[],
  p_now timestamptz
)
returns table (conversion_id bigint, group_id integer, outcome text, due_at timestamptz)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_wanted integer;
  v_have integer;
  v_group_ids integer[];
  v_order_hashes uuid[];
begin
  loop
    -- The unique key of the chain lets one of two become its head: whoever comes second waits here, in the order of the keys.
    with wanted as materialized (
      select distinct on (conversion.group_id, conversion.order_hash)
        conversion.conversion_id, conversion.group_id, conversion.order_hash,
        coalesce(conversion.payload ->> 'order_id', conversion.external_id) as order_key,
        coalesce(conversion.payload ->> 'conversion_action', '') as conversion_action
      from relay.conversion
      where conversion.conversion_id = any (p_conversion_ids)
      order by
        conversion.group_id, conversion.order_hash,
        case conversion.kind when 'conversion' then 0 when 'enhancement' then 1 else 2 end,
        case
          when conversion.kind in ('restatement', 'retraction') then (conversion.payload ->> 'occurred_at')::timestamptz
        end desc nulls last,
        conversion.conversion_id
    ), made as (
      insert into relay.order_chain as order_chain (group_id, order_hash, head)
      select wanted.group_id, wanted.order_hash, coalesce(original.conversion_id, wanted.conversion_id)
      from wanted
      -- A conversion that names no order has its external id for one, and no chain of its own yet.
      left join lateral (
        select conversion.conversion_id
        from relay.conversion_key
        join relay.conversion on conversion.conversion_id = conversion_key.conversion_id
        where conversion_key.external_id = wanted.order_key
          and conversion_key.group_id = wanted.group_id
          and conversion_key.conversion_id <> wanted.conversion_id
          and conversion.kind = 'conversion'
          and coalesce(conversion.payload ->> 'order_id', conversion.external_id) = wanted.order_key
          -- By the text where an older program took it in, and knew an action by one name alone.
          and (
            conversion.order_hash = wanted.order_hash
            or coalesce(conversion.payload ->> 'conversion_action', '') = wanted.conversion_action
          )
        limit 1
      ) as original on true
      order by wanted.group_id, wanted.order_hash
      on conflict do nothing
      returning 1
    )
    select (select pg_catalog.count(*) from wanted), (select pg_catalog.count(*) from made)
    into v_wanted, v_have;
    exit when v_have = v_wanted;

    perform
    from (
      select distinct conversion.group_id, conversion.order_hash
      from relay.conversion
      where conversion.conversion_id = any (p_conversion_ids)
    ) as wanted
    join relay.order_chain on order_chain.group_id = wanted.group_id and order_chain.order_hash = wanted.order_hash
    order by order_chain.group_id, order_chain.order_hash
    for no key update of order_chain;
    get diagnostics v_have = row_count;
    -- A chain that was pruned at this moment is made anew.
    exit when v_have = v_wanted;
  end loop;

  with joining as materialized (
    select
      conversion.conversion_id, conversion.group_id, conversion.order_hash, conversion.kind, conversion.due_at,
      conversion.expires_at, order_chain.head,
      coalesce((conversion.payload ->> 'occurred_at')::timestamptz, conversion.created_at) as occurred_at
    from relay.conversion
    join relay.order_chain
      on order_chain.group_id = conversion.group_id and order_chain.order_hash = conversion.order_hash
    where conversion.conversion_id = any (p_conversion_ids)
  ), going as (
    insert into relay.ready (group_id, band, next_attempt_at, conversion_id, expires_at, seq)
    select
      joining.group_id, case when joining.expires_at < p_now + interval '48 hours' then 0 else 1 end, joining.due_at,
      joining.conversion_id, joining.expires_at, 0
    from joining
    where joining.conversion_id = joining.head
  ), waiting as (
    insert into relay.blocked (conversion_id, group_id, order_hash, head, kind, occurred_at, expires_at, seq)
    select
      joining.conversion_id, joining.group_id, joining.order_hash, joining.head, joining.kind, joining.occurred_at,
      joining.expires_at, 0
    from joining
    where joining.conversion_id <> joining.head
    returning blocked.group_id, blocked.order_hash
  ), busy as (
    select distinct waiting.group_id, waiting.order_hash from waiting
  )
  select pg_catalog.array_agg(busy.group_id), pg_catalog.array_agg(busy.order_hash)
  from busy
  into v_group_ids, v_order_hashes;
  if v_group_ids is null then
    return;
  end if;

  return query
  select advanced.conversion_id, advanced.group_id, advanced.outcome, advanced.due_at
  from relay.advance_orders(v_group_ids, v_order_hashes, p_now) as advanced;

  -- Whoever ends a head at this moment does not see who waits for it, nor do we see its end.
  insert into relay.order_call (call_at, group_id, order_hash)
  select p_now + interval '15 seconds', joined.group_id, joined.order_hash
  from unnest(v_group_ids, v_order_hashes) as joined (group_id, order_hash)
  where exists (
    select
    from relay.blocked
    where blocked.group_id = joined.group_id and blocked.order_hash = joined.order_hash
  );
end;
$$;

comment on function relay.join_orders is
  'Puts conversions that were just taken in, and are in no place yet, into the chains of their orders: the first of an order '
  'goes to ready, all others wait in blocked, and where nothing is in their way they leave it at once. Answers as '
  'relay.advance_orders. Locks the chains in the order of their keys. Called by functions.';
