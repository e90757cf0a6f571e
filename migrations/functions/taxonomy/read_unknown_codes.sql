create or replace function relay.read_unknown_codes(
  p_limit integer
)
returns table (
  provider_key text, code text, first_seen_at timestamptz, last_seen_at timestamptz, times bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    unknown_code.provider_key, unknown_code.code, unknown_code.first_seen_at, unknown_code.last_seen_at, unknown_code.times
  from relay.unknown_code
  order by unknown_code.last_seen_at desc, unknown_code.provider_key, unknown_code.code
  limit p_limit;
$$;

comment on function relay.read_unknown_codes is 'Codes that no table knows, those seen last first, at most p_limit.';

grant execute on function relay.read_unknown_codes to relay_service, relay_operator;
