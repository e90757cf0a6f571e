create or replace function relay.audit_ready(
  p_after jsonb,          -- null: from the beginning; else next_after of the last call
  p_rows integer,
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
  v_group integer := coalesce((p_after ->> 'group_id')::integer, 0);
  v_band smallint := coalesce((p_after ->> 'band')::smallint, 0);
  v_at timestamptz := coalesce((p_after ->> 'next_attempt_at')::timestamptz, '-infinity');
  v_id bigint := coalesce((p_after ->> 'conversion_id')::bigint, 0);
begin
  if p_rows not between 1 and 1000000 or p_limit not between 0 and 1000 then
    raise exception 'p_rows must lie in 1 to 1000000, p_limit in 0 to 1000' using errcode = 'CR001';
  end if;
  with seen as materialized (
    select ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id, ready.seq
    from relay.ready
    where (ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id) > (v_group, v_band, v_at, v_id)
    order by ready.group_id, ready.band, ready.next_attempt_at, ready.conversion_id
    limit p_rows
  ), fault as materialized (
    select
      'waits where its history does not say' as fault,
      seen.conversion_id,
      pg_catalog.format(
        'in group %s at seq %s since %s; its history: %s', seen.group_id, seen.seq, seen.next_attempt_at,
        coalesce(pg_catalog.format('group %s, seq %s, %s', said.group_id, said.seq, said.outcome), 'none')
      ) as detail
    from seen
    -- With limits, so that each stays one look into one partition.
    left join lateral (
      select conversion.group_id, coalesce(latest.seq, 0) as seq, latest.outcome,
        coalesce(latest.next_attempt_at, conversion.due_at) as due_at
      from relay.conversion
      left join lateral (
        select outcome.seq, outcome.outcome, outcome.next_attempt_at
        from relay.conversion_outcome as outcome
        where outcome.conversion_id = seen.conversion_id
        order by outcome.seq desc
        limit 1
      ) as latest on true
      where conversion.conversion_id = seen.conversion_id
      limit 1
    ) as said on true
    where (said.group_id, said.seq, said.due_at) is distinct from (seen.group_id, seen.seq, seen.next_attempt_at)
      or said.outcome in (
        'DELIVERED', 'DUPLICATE', 'UNMATCHED', 'SUPERSEDED', 'CONSENT_DENIED', 'REJECTED', 'EXPIRED', 'EXHAUSTED', 'CANCELLED',
        'UNCONFIRMED', 'SUBMITTED'
      )
  )
  select
    (select pg_catalog.count(*) from seen)::integer,
    (
      select pg_catalog.jsonb_build_object(
        'group_id', seen.group_id, 'band', seen.band, 'next_attempt_at', seen.next_attempt_at,
        'conversion_id', seen.conversion_id
      )
      from seen
      order by seen.group_id desc, seen.band desc, seen.next_attempt_at desc, seen.conversion_id desc
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
  if walked < p_rows then
    next_after := null;
  end if;
  return next;
end;
$$;

comment on function relay.audit_ready is
  'Whether each of p_rows (1 to 1000000) rows that wait after p_after is where the latest outcome of its conversion, or its being '
  'taken in, put it: relay.audit_slice looks there and nowhere else. next_after: where the next call goes on; null at the end. '
  'faults: the first p_limit (0 to 1000) as {fault, conversion_id, detail}. Costs the rows that it walks. Raises CR001 for bad '
  'arguments.';

grant execute on function relay.audit_ready to relay_service, relay_operator;
