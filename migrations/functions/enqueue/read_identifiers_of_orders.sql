create or replace function relay.read_identifiers_of_orders(
  p_conversion_ids bigint[],  -- one entry for each that asks; so are the three that follow
  p_group_ids integer[],
  p_order_hashes uuid[],
  p_order_keys text[]
)
returns jsonb
language plpgsql
stable  -- it sees what the statement sees that asks
security definer
set search_path = pg_catalog, pg_temp
-- By index alone: a plan that was made while the tables were empty would walk through them.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return (
    select pg_catalog.jsonb_object_agg(asked.conversion_id, lent.identifiers)
    from unnest(p_conversion_ids, p_group_ids, p_order_hashes, p_order_keys)
      as asked (conversion_id, group_id, order_hash, order_key)
    cross join lateral (
      select
        pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
          'click_ids', lender.payload -> 'click_ids', 'user', lender.payload -> 'user', 'consent', lender.payload -> 'consent'
        )) as identifiers
      from relay.conversion as lender
      where lender.conversion_id = coalesce(
        (
          select order_chain.head
          from relay.order_chain
          where order_chain.group_id = asked.group_id and order_chain.order_hash = asked.order_hash
        ),
        (
          select conversion_key.conversion_id
          from relay.conversion_key
          where conversion_key.external_id = asked.order_key and conversion_key.group_id = asked.group_id
        )
      )
      limit 1
    ) as lent
  );
end;
$$;

comment on function relay.read_identifiers_of_orders is
  'What orders are known by: click_ids, user and consent of the newest write of each, or of the conversion whose external id '
  'is its order key. One object, by the id of the conversion that asks; without those that find nobody, null where none does. '
  'A function of its own, so that what asks for nothing is planned without all the weeks that are kept. Called by functions.';
