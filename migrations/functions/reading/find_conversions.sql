create or replace function relay.find_conversions(
  p_id text,
  p_limit integer
)
returns table (conversion_id bigint, found_by text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select found.conversion_id, found.found_by
  from relay.look_up_conversions(p_id, p_limit) as found;
$$;

comment on function relay.find_conversions is 'For programs of before relay.look_up_conversions, of which it answers a part.';

grant execute on function relay.find_conversions to relay_service, relay_operator;
