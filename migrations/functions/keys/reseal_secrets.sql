create or replace function relay.reseal_secrets(
  p_kind text,              -- credentials or ingest_key
  p_secret_ids integer[],
  p_before bytea[],         -- as they were read
  p_key_version integer,
  p_after bytea[]           -- the same, sealed with that key
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_resealed integer;
begin
  if pg_catalog.cardinality(p_secret_ids) <> pg_catalog.cardinality(p_before)
    or pg_catalog.cardinality(p_secret_ids) <> pg_catalog.cardinality(p_after)
  then
    raise exception 'an array has another length than the others' using errcode = 'CR001';
  end if;
  -- updated_at stays: the credentials are the same.
  if p_kind = 'credentials' then
    update relay.provider_credentials
    set key_version = p_key_version, sealed = resealed.sealed
    from rows from (
      pg_catalog.unnest(p_secret_ids), pg_catalog.unnest(p_before), pg_catalog.unnest(p_after)
    ) as resealed (secret_id, before, sealed)
    where provider_credentials.group_id = resealed.secret_id and provider_credentials.sealed = resealed.before;
  elsif p_kind = 'ingest_key' then
    update relay.ingest_key
    set key_version = p_key_version, sealed = resealed.sealed
    from rows from (
      pg_catalog.unnest(p_secret_ids), pg_catalog.unnest(p_before), pg_catalog.unnest(p_after)
    ) as resealed (secret_id, before, sealed)
    where ingest_key.key_id = resealed.secret_id and ingest_key.sealed = resealed.before;
  else
    raise exception 'p_kind must be credentials or ingest_key' using errcode = 'CR001';
  end if;
  get diagnostics v_resealed = row_count;
  return v_resealed;
end;
$$;

comment on function relay.reseal_secrets is
  'Puts secrets in the place of the same ones under an older data key, and says how many. One that was put anew since it was '
  'read stays as it is. Raises CR001 for another kind and for arrays of different lengths. Locks: those rows.';

grant execute on function relay.reseal_secrets to relay_service;
