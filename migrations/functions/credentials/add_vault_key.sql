create or replace function relay.add_vault_key(
  p_key_version integer,
  p_source text,
  p_wrapped bytea,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns table (key_version integer, source text, wrapped bytea)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  insert into relay.vault_key (key_version, source, wrapped, created_at)
  values (p_key_version, p_source, p_wrapped, coalesce(p_now, pg_catalog.clock_timestamp()))
  on conflict do nothing;
  return query
  select vault_key.key_version, vault_key.source, vault_key.wrapped
  from relay.vault_key
  where vault_key.key_version = p_key_version;
end;
$$;

comment on function relay.add_vault_key is
  'Keeps a wrapped data key under its version; where two come at once the first stays. Answers the one that is kept: use '
  'that one.';

grant execute on function relay.add_vault_key to relay_service;
