create or replace function relay.prune_keys(
  p_limit integer
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_walk relay.prune_walk;
  v_seen integer;
  v_last bigint;
  v_keys integer;
begin
  select prune_walk.* from relay.prune_walk into v_walk;
  with seen as materialized (
    select conversion.conversion_id, conversion.external_id, conversion.group_id, conversion.order_hash
    from relay.conversion
    where conversion.conversion_id >= v_walk.id_from
      and conversion.conversion_id > v_walk.conversion_id
      and conversion.conversion_id < v_walk.id_to
    order by conversion.conversion_id
    limit p_limit
  ), gone as (
    -- A key that a later conversion has won since is that one's.
    delete from relay.conversion_key
    using seen
    where conversion_key.external_id = seen.external_id
      and conversion_key.group_id = seen.group_id
      and conversion_key.conversion_id = seen.conversion_id
    returning 1
  ), over as materialized (
    -- Chains of their orders that no later conversion has taken on, and that nobody works on.
    select order_chain.group_id, order_chain.order_hash
    from seen
    join relay.order_chain on order_chain.group_id = seen.group_id and order_chain.order_hash = seen.order_hash
    where order_chain.head < v_walk.id_to
      and (
        order_chain.head >= v_walk.id_from
        or not exists (select from relay.conversion where conversion.conversion_id = order_chain.head)
      )
      and not exists (
        select
        from relay.blocked
        where blocked.group_id = order_chain.group_id and blocked.order_hash = order_chain.order_hash
      )
    for update of order_chain skip locked
  ), forgotten as (
    delete from relay.order_chain
    using over
    where order_chain.group_id = over.group_id and order_chain.order_hash = over.order_hash
  )
  select
    (select pg_catalog.count(*) from seen),
    (select pg_catalog.max(seen.conversion_id) from seen),
    (select pg_catalog.count(*) from gone)
  into v_seen, v_last, v_keys;

  update relay.prune_walk
  set conversion_id = case when v_seen < p_limit then v_walk.id_to - 1 else v_last end
  where prune_walk.singleton;
  return v_keys;
end;
$$;

comment on function relay.prune_keys is
  'Deletes the keys of the next p_limit conversions of the week that is taken apart, with the chains of their orders that '
  'are over, and says how many keys. Called by prune_history.';
