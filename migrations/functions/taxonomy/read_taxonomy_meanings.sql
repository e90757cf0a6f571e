create or replace function relay.read_taxonomy_meanings(
  p_provider_keys text[]
)
returns table (
  provider_key text, code text, class text, scope text, wait_seconds integer, max_attempts smallint, whole boolean,
  reason text, created_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    taxonomy_override.provider_key, taxonomy_override.code, taxonomy_override.class, taxonomy_override.scope,
    taxonomy_override.wait_seconds, taxonomy_override.max_attempts, taxonomy_override.whole, taxonomy_override.reason,
    taxonomy_override.created_at
  from relay.taxonomy_override
  where taxonomy_override.provider_key = any (p_provider_keys)
  order by taxonomy_override.provider_key, taxonomy_override.code;
$$;

comment on function relay.read_taxonomy_meanings is 'What an operator says codes of these providers mean.';

grant execute on function relay.read_taxonomy_meanings to relay_service, relay_operator;
