create or replace function relay.read_identifiers_of_order(
  p_group_id integer,
  p_order_hash uuid,
  p_order_key text
)
returns jsonb
language plpgsql
stable  -- it sees what the statement sees that asks
security definer
set search_path = pg_catalog, pg_temp
set jit = off
-- By index alone: a plan that was made while the tables were empty would walk through them.
set enable_seqscan = off
as $$
declare
  v_lender bigint := coalesce(
    (
      select order_chain.head
      from relay.order_chain
      where order_chain.group_id = p_group_id and order_chain.order_hash = p_order_hash
    ),
    (
      select conversion_key.conversion_id
      from relay.conversion_key
      where conversion_key.external_id = p_order_key and conversion_key.group_id = p_group_id
    )
  );
begin
  return (
    select
      pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'click_ids', lender.payload -> 'click_ids', 'user', lender.payload -> 'user', 'consent', lender.payload -> 'consent'
      ))
    from relay.conversion as lender
    where lender.conversion_id = v_lender
    limit 1
  );
end;
$$;

comment on function relay.read_identifiers_of_order is
  'What an order is known by: click_ids, user and consent of the newest write of it, or of the conversion whose external id is '
  'p_order_key; null where there is none. A function of its own, so that taking in is planned without the weeks that are kept. '
  'Called by functions.';
