create or replace function relay.audit_keys(
  p_after jsonb,          -- null: from the beginning; else next_after of the last call
  p_keys integer,
  p_limit integer
)
returns table (walked integer, next_after jsonb, faults_total bigint, faults jsonb)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
declare
  v_after_external text := coalesce(p_after ->> 'external_id', '');
  v_after_group integer := coalesce((p_after ->> 'group_id')::integer, 0);
begin
  if p_keys not between 1 and 1000000 or p_limit not between 0 and 1000 then
    raise exception 'p_keys must lie in 1 to 1000000, p_limit in 0 to 1000' using errcode = 'CR001';
  end if;
  with seen as materialized (
    select conversion_key.external_id, conversion_key.group_id, conversion_key.conversion_id
    from relay.conversion_key
    where (conversion_key.external_id, conversion_key.group_id) > (v_after_external, v_after_group)
    order by conversion_key.external_id, conversion_key.group_id
    limit p_keys
  ), fault as materialized (
    select
      case when said.conversion_id is null then 'a key without its conversion' else 'a key of another conversion' end as fault,
      seen.conversion_id,
      pg_catalog.format('of group %s', seen.group_id) as detail
    from seen
    -- With a limit, so that it stays one look into one partition.
    left join lateral (
      select conversion.conversion_id, conversion.external_id, conversion.group_id
      from relay.conversion
      where conversion.conversion_id = seen.conversion_id
      limit 1
    ) as said on true
    where said.conversion_id is null
      or (said.external_id, said.group_id) <> (seen.external_id, seen.group_id)
  )
  select
    (select pg_catalog.count(*) from seen)::integer,
    (
      select pg_catalog.jsonb_build_object('external_id', seen.external_id, 'group_id', seen.group_id)
      from seen
      order by seen.external_id desc, seen.group_id desc
      limit 1
    ),
    (select pg_catalog.count(*) from fault),
    coalesce(
      (
        select pg_catalog.jsonb_agg(listed)
        from (select fault.fault, fault.conversion_id, fault.detail from fault limit p_limit) as listed
      ),
      '[]'
    )
  into walked, next_after, faults_total, faults;
  if walked < p_keys then
    next_after := null;
  end if;
  return next;
end;
$$;

comment on function relay.audit_keys is
  'Whether each of p_keys (1 to 1000000) keys after p_after is that of a conversion of its own: what relay.audit_slice cannot '
  'see, as it walks through conversions. next_after: where the next call goes on; null at the end. faults: the first p_limit '
  '(0 to 1000) as {fault, conversion_id, detail}. Costs the keys that it walks. Raises CR001 for bad arguments.';

grant execute on function relay.audit_keys to relay_service, relay_operator;
