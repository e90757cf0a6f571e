create or replace function relay.put_taxonomy_override(
  p_provider_key text,
  p_code text,
  p_class text,
  p_scope text,             -- null: none
  p_wait_seconds integer,   -- null: the usual
  p_max_attempts integer,   -- null: the usual
  p_reason text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select relay.put_taxonomy_meaning(
    p_provider_key, p_code, p_class, p_scope, p_wait_seconds, p_max_attempts, false, p_reason, p_now
  );
$$;

comment on function relay.put_taxonomy_override is
  'As relay.put_taxonomy_meaning, for programs that say nothing of what is left out.';

grant execute on function relay.put_taxonomy_override to relay_service;
