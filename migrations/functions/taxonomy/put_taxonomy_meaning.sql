create or replace function relay.put_taxonomy_meaning(
  p_provider_key text,
  p_code text,
  p_class text,
  p_scope text,             -- null: none
  p_wait_seconds integer,   -- null: the usual
  p_max_attempts integer,   -- null: the usual
  p_whole boolean,          -- nothing is left out of the conversion for it
  p_reason text,
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into relay.taxonomy_override as override (
    provider_key, code, class, scope, wait_seconds, max_attempts, whole, reason, created_at
  )
  values (
    p_provider_key, p_code, p_class, p_scope, p_wait_seconds, p_max_attempts, p_whole, p_reason,
    coalesce(p_now, pg_catalog.clock_timestamp())
  )
  on conflict (provider_key, code) do update
  set
    class = excluded.class,
    scope = excluded.scope,
    wait_seconds = excluded.wait_seconds,
    max_attempts = excluded.max_attempts,
    whole = excluded.whole,
    reason = excluded.reason,
    created_at = excluded.created_at;
  -- Somebody has said what it means.
  delete from relay.unknown_code where unknown_code.provider_key = p_provider_key and unknown_code.code = p_code;
exception
  when check_violation or not_null_violation then
    raise exception 'the override does not fit its class: a scope belongs to CONFIG and DELAY, a wait to DELAY, TRANSIENT '
      'and UNMATCHED, attempts to TRANSIENT and UNMATCHED' using errcode = 'CR001';
end;
$$;

comment on function relay.put_taxonomy_meaning is
  'Says what a provider''s code means from the next run on, in the place of the adapter''s table and of what was said before; '
  'the code is unknown no more. Raises CR001 where the parts do not fit the class.';

grant execute on function relay.put_taxonomy_meaning to relay_service;
