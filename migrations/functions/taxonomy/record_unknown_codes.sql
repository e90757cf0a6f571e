create or replace function relay.record_unknown_codes(
  p_provider_keys text[],
  p_codes text[],           -- side by side with the keys; so are the times
  p_times bigint[],
  p_now timestamptz default null  -- last; only tests set the clock
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  -- What a provider makes up with each answer must not fill the table.
  c_codes_max constant integer := 1000;
begin
  insert into relay.unknown_code as known (provider_key, code, first_seen_at, last_seen_at, times)
  select seen.provider_key, seen.code, v_now, v_now, pg_catalog.sum(seen.times)
  from unnest(p_provider_keys, p_codes, p_times) as seen (provider_key, code, times)
  where exists (
      select
      from relay.unknown_code
      where unknown_code.provider_key = seen.provider_key and unknown_code.code = seen.code
    )
    or (
      select pg_catalog.count(*)
      from relay.unknown_code
      where unknown_code.provider_key = seen.provider_key
    ) < c_codes_max
  group by seen.provider_key, seen.code
  -- One order for all runs, so that none waits for another that waits for it.
  order by seen.provider_key, seen.code
  on conflict (provider_key, code) do update
  set last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at), times = known.times + excluded.times;
end;
$$;

comment on function relay.record_unknown_codes is
  'Keeps the codes of one run that no table knows: when they were first and last seen, and in how many answers. A provider '
  'with 1000 such codes gets no new ones. Locks the codes, in the order of provider and code.';

grant execute on function relay.record_unknown_codes to relay_service;
