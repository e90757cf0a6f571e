create or replace function relay.id_floor(
  p_at timestamptz
)
returns bigint
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select (pg_catalog.floor(extract(epoch from p_at))::bigint - 1704067200) << 22;
$$;

comment on function relay.id_floor is
  'The smallest time-ordered id of a second: seconds since 2024-01-01 UTC in the high bits, 22 bits of a sequence below. '
  'Ids stay under 2^53 until 2092, so that readers of JSON keep every digit.';
