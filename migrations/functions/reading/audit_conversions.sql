create or replace function relay.audit_conversions()
returns table (fault text, conversion_id bigint, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select listed.fault, listed.conversion_id, listed.detail
  from relay.audit_accounts(1000) as audit
  cross join lateral pg_catalog.jsonb_to_recordset(audit.faults) as listed (fault text, conversion_id bigint, detail text);
$$;

comment on function relay.audit_conversions is
  'The faults alone that relay.audit_accounts finds, a row for each, the first 1000; none is the good answer.';

grant execute on function relay.audit_conversions to relay_service, relay_operator;
