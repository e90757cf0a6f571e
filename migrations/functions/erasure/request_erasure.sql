create or replace function relay.request_erasure(
  p_hashes text[],          -- e-mail addresses and phone numbers, as conversions keep them
  p_click_hashes text[],    -- SHA-256 of click ids, hexadecimal
  p_now timestamptz default null  -- last; only tests set the clock
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := coalesce(p_now, pg_catalog.clock_timestamp());
  v_erasure_id bigint;
begin
  if coalesce(pg_catalog.cardinality(p_hashes || p_click_hashes), 0) not between 1 and 1000
    or exists (
      select
      from unnest(p_hashes || p_click_hashes) as given (hash)
      where given.hash !~ '^[0-9a-f]{64}$' or given.hash is null
    )
  then
    raise exception 'an erasure needs 1 to 1000 SHA-256 in lower-case hexadecimal' using errcode = 'CR001';
  end if;
  -- Ids of this very second included: created_at tells those that came later.
  insert into relay.erasure (requested_at, hashes, click_hashes, id_to)
  values (v_now, coalesce(p_hashes, '{}'), coalesce(p_click_hashes, '{}'), relay.id_floor(v_now + interval '2 seconds'))
  returning erasure.erasure_id into v_erasure_id;
  return v_erasure_id;
end;
$$;

comment on function relay.request_erasure is
  'Takes down that a person is to be erased from all that was taken in until now, and answers the number of the request; '
  'relay.erase_person does it. What comes in later is not concerned. Raises CR001 where what is given is no hash.';

grant execute on function relay.request_erasure to relay_service;
