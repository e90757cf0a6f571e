create or replace function relay.delete_taxonomy_override(
  p_provider_key text,
  p_code text
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from relay.taxonomy_override
  where taxonomy_override.provider_key = p_provider_key and taxonomy_override.code = p_code;
  return found;
end;
$$;

comment on function relay.delete_taxonomy_override is
  'Gives a code back to the adapter''s own table, from the next run on. False where nothing was said of it.';

grant execute on function relay.delete_taxonomy_override to relay_service;
